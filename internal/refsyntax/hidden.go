package refsyntax

import (
	"runtime"
	"sync"
	"weak"
)

// A Hidden is a text out of reach of reflection: printers that walk through a value find a
// closure. Equal texts have one Hidden, so that comparing pointers compares texts. Nil
// stands for no text.
type Hidden struct{ text func() string }

var hidden struct {
	sync.Mutex
	texts map[string]weak.Pointer[Hidden]
}

// hide returns the one Hidden of a text.
func hide(text string) *Hidden {
	hidden.Lock()
	defer hidden.Unlock()
	if h := hidden.texts[text].Value(); h != nil {
		return h
	}
	h := &Hidden{text: func() string { return text }}
	if hidden.texts == nil {
		hidden.texts = map[string]weak.Pointer[Hidden]{}
	}
	hidden.texts[text] = weak.Make(h)
	runtime.AddCleanup(h, forget, text)
	return h
}

// forget drops a text that nobody refers to, unless it was hidden once more.
func forget(text string) {
	hidden.Lock()
	defer hidden.Unlock()
	if hidden.texts[text].Value() == nil {
		delete(hidden.texts, text)
	}
}
