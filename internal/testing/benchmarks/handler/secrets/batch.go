//go:build !bench.single

package main

import "github.com/lambdasecrets/secrets"

// batching is the option that BENCH_HOW=secrets-batch adds.
func batching() []secrets.Option { return []secrets.Option{secrets.WithBatchGetSecretValue()} }
