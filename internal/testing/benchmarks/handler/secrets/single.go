//go:build bench.single

package main

import "github.com/lambdasecrets/secrets"

// batching stands in for the option in a program that does not mention it.
func batching() []secrets.Option { return nil }
