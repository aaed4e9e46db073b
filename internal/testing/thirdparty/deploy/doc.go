// Package deploy checks the handler's AWS SAM template, Terraform configuration and CDK app without
// AWS. It parses the first two, makes what they create on the embedded endpoint, and lets package
// secrets resolve the function's environment under the role's policy and nothing else. It
// synthesizes the third, and compares its grants with the printed policy. Linters have nothing to
// say of any. It holds tests only, in a
// module of its own, so that those who import package secrets need no parser of YAML or HCL.
package deploy
