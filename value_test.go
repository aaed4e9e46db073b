package secrets

import "testing"

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
