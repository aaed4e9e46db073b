// Command leftout reads its one reference, for the test of build tags.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/lambdasecrets/secrets"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	env, err := secrets.New(secrets.WithEnviron(map[string]string{"A": os.Args[1], "AWS_REGION": "eu-west-1"}))
	if err == nil {
		_, err = env.Get(ctx, "A")
	}
	fmt.Print(secrets.Detail(err))
}
