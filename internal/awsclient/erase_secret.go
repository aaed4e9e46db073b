//go:build goexperiment.runtimesecret

package awsclient

import "runtime/secret"

// Erasing calls f, whose temporary storage holds plaintext. Its registers and stack are erased
// when it returns, and what it allocated when the collector finds it unreachable: the SDK's
// buffers soon, the value itself when it is dropped.
func Erasing(f func()) { secret.Do(f) }
