package secrets

import (
	"encoding/json"
	"encoding/xml"
	"strings"
	"testing"
)

func TestValue_Part(t *testing.T) {
	t.Parallel()
	whole := NewValue(`{"user":"app"}`, "7")
	ref, err := ParseRef("sm://prod/db#user")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := whole.part(ref.Source(), ref.Source().part()); err != nil || got.Reveal() != whole.Reveal() {
		t.Errorf("the zero part: %v, want the whole value", err)
	}
	if got, err := whole.part(ref.Source(), ref.part()); err != nil || got.Reveal() != "app" || got.Version() != "7" {
		t.Errorf("#user: %v, want app of version 7", err)
	}
	if _, err := whole.part(ref.Source(), part{Field: "absent"}); err == nil || err.Ref != ref.Source() {
		t.Errorf("#absent: %v, want an error that names the source", err)
	}
}

func TestValue_PartBase64(t *testing.T) {
	t.Parallel()
	whole := NewValue(`{"key":"aGk_\n","bad":"!"}`, "7")
	ref, err := ParseRef("sm://a?decode=base64#key")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := whole.part(ref.Source(), ref.part()); err != nil || got.Reveal() != "hi?" {
		t.Errorf("%v, want the decoded text", err)
	}
	_, failed := whole.part(ref.Source(), part{Field: "bad", Base64: true})
	if failed == nil || failed.kind != ErrField || !strings.Contains(Detail(failed), `field "bad"`) {
		t.Errorf("what is no base64: %v", failed)
	}
}

// An empty secret lets nobody in.
func TestValue_Empty(t *testing.T) {
	t.Parallel()
	empty, full := NewValue("", ""), NewValue("x", "")
	switch {
	case empty.EqualString(""), empty.Equal(empty), empty.Equal(full), full.Equal(empty), full.EqualString(""),
		(Value{}).EqualString(""):
		t.Error("something is equal to the empty text")
	case !full.Equal(full), !full.EqualString("x"):
		t.Error("a text is not equal to itself")
	case !empty.same(empty), empty.same(full):
		t.Error("the cache does not tell an empty value from a new one")
	}
}

// What a Value prints is never read back as a plaintext, and no driver stores it.
func TestValue_Marker(t *testing.T) {
	t.Parallel()
	type state struct{ Password Value }
	in := state{NewValue("hunter2", "")}
	text, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var out state
	if err := json.Unmarshal(text, &out); err == nil || !out.Password.IsZero() {
		t.Errorf("JSON: %v", err)
	}
	if text, err = xml.Marshal(in); err != nil {
		t.Fatal(err)
	}
	if err := xml.Unmarshal(text, &out); err == nil || !out.Password.IsZero() {
		t.Errorf("XML: %v", err)
	}
	for _, text := range []string{"[REDACTED]", " [REDACTED]\n", "Bearer [REDACTED]"} {
		if err := out.Password.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q becomes a plaintext", text)
		}
	}
	if v, err := in.Password.Value(); err == nil || v != nil {
		t.Errorf("a driver gets %v", v)
	}
}

// A text that was meant reaches a field once RevealAll gave it out, whatever it looks like.
func TestValue_UnmarshalMeantText(t *testing.T) {
	t.Parallel()
	const text = "sm://meant-by-the-user"
	var v Value
	if err := v.UnmarshalText([]byte(text)); err == nil {
		t.Error("a reference becomes a plaintext")
	}
	env, err := New(WithEnviron(map[string]string{"X": text}), WithVars(Literal, "X"))
	if err != nil {
		t.Fatal(err)
	}
	all, err := env.RevealAll(t.Context())
	if err == nil {
		err = v.UnmarshalText([]byte(all["X"]))
	}
	if err != nil || v.Reveal() != text {
		t.Errorf("%v", err)
	}
}
