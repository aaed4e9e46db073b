//go:build unix

package lambdasim_test

import (
	"context"
	"fmt"

	"github.com/lambdasecrets/secrets/internal/testing/lambdasim"
)

// One event through a built function, as a command that tries a handler locally does it. TestMain has built the
// binary with [lambdasim.Build].
func ExampleRun() {
	result, err := lambdasim.Run(context.Background(), lambdasim.Config{Binary: binary},
		[]byte(`{"do":"echo","arg":"hello"}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s %v\n", result.Payload, result.FunctionError)
	// Output: "hello" <nil>
}

// A function is frozen from each answer to the next event, as on Lambda.
func ExampleFunction_Invoke() {
	ctx := context.Background()
	f, err := lambdasim.Start(ctx, lambdasim.Config{
		Binary:   binary,
		InitType: lambdasim.ProvisionedConcurrency,
		Env:      map[string]string{"TABLE": "orders"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer f.Close()
	result, err := f.Invoke(ctx, []byte(`{"do":"error","arg":"no such order"}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(result.FunctionError.Message, len(f.Inits()))
	// Output: no such order 1
}
