// Command none is the handler without any secret, and without the SDK.
package main

import (
	"context"

	"github.com/lambdasecrets/secrets/internal/testing/benchmarks/handler/app"
)

func main() { app.Run(func(context.Context) (int, error) { return 0, nil }) }
