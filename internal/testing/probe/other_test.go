//go:build !linux

package main

import "testing"

func TestLambda_OtherSystems(t *testing.T) {
	t.Skip("the function's tests need Linux: a Lambda function is built for it, and stopped by its signals")
}
