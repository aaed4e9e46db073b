// Package guard calls code of others so that it takes nothing down.
package guard

import (
	"fmt"
	"reflect"

	"github.com/lambdasecrets/secrets/internal/parallel"
)

// Call runs f and returns what is wrong with it: what f itself returns, or that it
// panicked, or that it ended its goroutine, as t.FailNow in a fake does. The text of
// a panic is left out: it may quote a secret.
func Call(f func() (problem string)) (problem string) {
	problem = "the provider ended its goroutine"
	done := make(chan struct{})
	go func() {
		parallel.GrowStack()
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				problem = fmt.Sprintf("the provider panicked with a %T", p)
			}
		}()
		problem = f()
	}()
	<-done
	return problem
}

// Text returns the text of err, or that there is none because its Error panics, as
// that of a nil pointer may. It starts no goroutine as [Call] does: who logs does not
// wait for another.
func Text(err error) (text string) {
	defer func() {
		if p := recover(); p != nil {
			text = fmt.Sprintf("the provider's error panicked with a %T", p)
		}
	}()
	return err.Error()
}

// Nil reports whether x is nil, or an interface that holds a nil pointer, map, func,
// slice or channel.
func Nil(x any) bool {
	if x == nil {
		return true
	}
	switch v := reflect.ValueOf(x); v.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Func, reflect.Slice, reflect.Chan:
		return v.IsNil()
	}
	return false
}
