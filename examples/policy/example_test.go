package main

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// The policy of a function whose environment refers to a secret and to a tree of parameters.
func Example() {
	environ := "DB_PASSWORD=sm://prod/db#password\nSETTINGS=ssm:///app/prod/*\nSTAGE=prod\n"
	if err := run([]string{"-region", "eu-west-1", "-account", "123456789012"}, strings.NewReader(environ), os.Stdout,
		io.Discard); err != nil {
		fmt.Println(err)
	}
	// Output:
	// {
	//   "Version": "2012-10-17",
	//   "Statement": [
	//     {
	//       "Sid": "Secrets",
	//       "Effect": "Allow",
	//       "Action": [
	//         "secretsmanager:GetSecretValue"
	//       ],
	//       "Resource": [
	//         "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-??????"
	//       ]
	//     },
	//     {
	//       "Sid": "ParameterTrees",
	//       "Effect": "Allow",
	//       "Action": [
	//         "ssm:GetParametersByPath"
	//       ],
	//       "Resource": [
	//         "arn:aws:ssm:eu-west-1:123456789012:parameter/app/prod/*"
	//       ]
	//     }
	//   ]
	// }
}
