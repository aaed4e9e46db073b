// Package deploy checks the handler's AWS SAM template and Terraform configuration without AWS: it
// parses both, makes what they create on the embedded endpoint, and lets package secrets resolve
// the function's environment under the role's policy and nothing else. It holds tests only, in a
// module of its own, so that those who import package secrets need no parser of YAML or HCL.
package deploy
