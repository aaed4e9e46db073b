//go:build !linux

package main

import "testing"

func TestLambda(t *testing.T) {
	t.Skip("the function's tests need Linux: a Lambda function is built for it, and stopped by its signals")
}
