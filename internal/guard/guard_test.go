package guard

import (
	"errors"
	"os"
	"runtime"
	"testing"
)

func TestCall_NeverPanics(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		f    func() string
		want string
	}{
		"all is well":       {func() string { return "" }, ""},
		"it says so itself": {func() string { return "two for one" }, "two for one"},
		"it panics":         {func() string { panic("hunter2") }, "the provider panicked with a string"},
		"it panics, typed": {func() string { panic(errors.New("hunter2")) },
			"the provider panicked with a *errors.errorString"},
		"it ends its goroutine": {func() string { runtime.Goexit(); return "" }, "the provider ended its goroutine"},
	} {
		if got := Call(test.f); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

func TestNil_TypedPointers(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		x    any
		want bool
	}{
		"nil":           {nil, true},
		"a nil pointer": {(*int)(nil), true},
		"a nil func":    {(func())(nil), true},
		"a nil map":     {map[string]int(nil), true},
		"an empty map":  {map[string]int{}, false},
		"a pointer":     {new(int), false},
		"a struct":      {struct{}{}, false},
	} {
		if got := Nil(test.x); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestText_PanickingError(t *testing.T) {
	t.Parallel()
	if got := Text(errors.New("text")); got != "text" {
		t.Errorf("%q", got)
	}
	if got := Text((*os.PathError)(nil)); got != "the provider's error panicked with a runtime.errorString" &&
		got != "the provider's error panicked with a runtime.errorAddressString" {
		t.Errorf("%q", got)
	}
}
