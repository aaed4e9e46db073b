package secrets

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unsafe"
)

// A literal's text is its value. Nothing of a Ref gives it away, reflection included.
func TestRef_LiteralIsHidden(t *testing.T) {
	t.Parallel()
	const canary = "canary-5c1d"
	ref, err := ParseRef("literal://" + canary)
	if err != nil {
		t.Fatal(err)
	}
	env, err := New(WithEnviron(map[string]string{"X": "literal://" + canary}),
		WithLocalValues(map[string]string{"Y": canary}))
	if err != nil {
		t.Fatal(err)
	}
	text, _ := ref.MarshalText()
	for _, s := range []string{ref.ID(), ref.Text(), ref.String(), string(text), ref.Source().String(),
		fmt.Sprintf("%#v %+v %x", ref, ref, ref)} {
		if strings.Contains(s, canary) {
			t.Errorf("it is shown: %s", s)
		}
	}
	for name, v := range map[string]any{"Ref": ref, "Env": env, "Refs": env.Refs()} {
		walk(reflect.ValueOf(v), map[visit]bool{}, func(s string) {
			if strings.Contains(s, canary) {
				t.Errorf("reflection finds it in %s", name)
			}
		})
	}
	for _, name := range []string{"X", "Y"} {
		if v, err := env.Get(t.Context(), name); err != nil || v.Reveal() != canary {
			t.Errorf("%s: %v", name, err)
		}
	}
	if v, err := env.Resolve(t.Context(), ref); err != nil || v.Reveal() != canary {
		t.Errorf("resolved: %v", err)
	}
}

type visit struct {
	at uintptr
	of reflect.Type
}

// walk calls see for every string that reflection reaches, as printers do that follow pointers and
// read unexported fields.
func walk(v reflect.Value, seen map[visit]bool, see func(string)) {
	switch v.Kind() {
	case reflect.String:
		see(v.String())
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return
		}
		if v.Kind() == reflect.Pointer {
			at := visit{v.Pointer(), v.Type()}
			if seen[at] {
				return
			}
			seen[at] = true
		}
		walk(v.Elem(), seen, see)
	case reflect.Struct:
		for i := range v.NumField() {
			walk(v.Field(i), seen, see)
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			walk(v.Index(i), seen, see)
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			walk(it.Key(), seen, see)
			walk(it.Value(), seen, see)
		}
	}
}

// A struct of one pointer is stored directly in an interface. go-spew's default mode then follows the
// pointer once more, and kills the process.
func TestRef_IsNoPointer(t *testing.T) {
	t.Parallel()
	if n := unsafe.Sizeof(Ref{}); n <= unsafe.Sizeof(uintptr(0)) {
		t.Errorf("a Ref has %d bytes", n)
	}
}

func TestRef_Accessors(t *testing.T) {
	t.Parallel()
	const key, role = "alias/app", "arn:aws:iam::210987654321:role/reader"
	ref, err := ParseRef("kms://" + strings.Repeat("AQEB", 11) + "?key=" + key + "&role=" + role +
		"&region=eu-west-1,us-east-1&context.a=b")
	if err != nil {
		t.Fatal(err)
	}
	ref.Context()["a"] = "changed"
	if ref.Key() != key || ref.Role() != role || ref.Region() != "eu-west-1" || ref.Failover() != "us-east-1" ||
		ref.Context()["a"] != "b" {
		t.Errorf("%s", ref)
	}
	second, ok := ref.inFailover()
	if !ok || second.Region() != "us-east-1" || second.Failover() != "" || second.Role() != role {
		t.Errorf("the second Region's source is %s, %v", second, ok)
	}
	arn, err := ParseRef("sm://arn:aws:secretsmanager:eu-west-1:123456789012:secret:a-AbCdEf?" +
		"region=eu-west-1,us-east-1")
	if err != nil {
		t.Fatal(err)
	}
	if second, _ := arn.inFailover(); second.ID() != "arn:aws:secretsmanager:us-east-1:123456789012:secret:a-AbCdEf" {
		t.Errorf("the replica is %s", second)
	}
	if _, ok := second.inFailover(); ok {
		t.Error("the second Region has a second one")
	}
}

// A Source costs no handle where there is nothing to take away.
func TestRef_SourceOfSource(t *testing.T) {
	ref := SSMParameter("/app/db").With("field", "x").With("ttl", "1m")
	source := ref.Source()
	if source != SSMParameter("/app/db") || source.Source() != source {
		t.Errorf("the source of %s is %s", ref, source)
	}
	if n := testing.AllocsPerRun(100, func() { source.Source() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// A Ref prints as its String for every verb, and what a text is composed of besides its parts is out of reach of
// fmt, wherever the Ref stands.
func TestRef_Format(t *testing.T) {
	t.Parallel()
	parse := func(password string) Ref {
		ref, err := ParseRef("postgres://app:" + password + "@h/{{sm://prod/db#password}}")
		if err != nil {
			t.Fatal(err)
		}
		return ref
	}
	ref, again := parse("hunter2"), parse("hunter2")
	if ref != again || ref == parse("hunter3") {
		t.Error("equal texts are not one, or different ones are")
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%e", "%x", "%t", "%U", "%20v"} {
		if got := strings.TrimSpace(fmt.Sprintf(verb, ref)); got != "…{{sm://prod/db#password}}" {
			t.Errorf("%s prints %s", verb, got)
		}
		inside := struct{ ref any }{ref}
		if got := fmt.Sprintf(verb, inside) + fmt.Sprintf(verb, &inside); strings.Contains(got, "hunter2") {
			t.Errorf("%s of what holds it prints %s", verb, got)
		}
	}
	if got := fmt.Sprintf("%q", ref); got != `"…{{sm://prod/db#password}}"` {
		t.Errorf("quoted: %s", got)
	}
	if ref.Text() != "postgres://app:hunter2@h/{{sm://prod/db#password}}" {
		t.Errorf("%s", ref.Text())
	}
}
