package secretstest

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/lambdasecrets/secrets"
)

// A fault is what Drill finds wrong with a handler: its name, and the next step.
type fault struct{ name, next string }

var (
	keeps = fault{"keeps the value",
		"Call env.Get in each invocation: a cached read makes no call. Build a client by secrets.Derive, " +
			"or give it a function that calls env.Get or env.Do. Keep no string."}
	caches = fault{"caches the value beyond its TTL",
		"Remove that cache: env.Get is one, and a cached read makes no call."}
	without = fault{"goes on without a value",
		"Return the error of env.Get. If the variable is optional, tell absence by " +
			"errors.Is(err, secrets.ErrNotFound), and do without what needs the value."}
	wrongPart = fault{"uses another text than the plaintext",
		"Use what Value.Reveal returns, and only the field that is meant: #field in the reference, " +
			"or Value.Field."}
	failing = fault{"fails with a good value in hand",
		"Use the value that env.Get returns, stale or not. Keep no error from an earlier invocation."}
	panics = fault{"panics",
		"Return the error: Lambda restarts the environment after a panic, with another init, " +
			"again and again while this lasts."}
	hangs = fault{"hangs",
		"Give the invocation's context to env.Get and to every call, and end when the context ends: " +
			"Lambda kills the environment at its time-out."}
	prints = fault{"prints the plaintext",
		"Print the secrets.Value, which shows [REDACTED], and take the text out of errors: " +
			"CloudWatch Logs keeps what is printed, and the invoker sees errors."}
	replies  = fault{"replies with the plaintext", "Take it out of the reply: the invoker sees it."}
	fetching = fault{"fetches in every invocation",
		"Call env.Get, which fetches when the TTL has passed, in place of env.Refresh. " +
			"AWS bills and throttles each call."}
	storm = fault{"asks without end",
		"Call env.Get once in an invocation and return its error: it retries by itself until the deadline. " +
			"A loop around it is a call storm while AWS fails."}
	leaves = fault{"leaves a goroutine",
		"End it before the invocation returns, or close what it belongs to by Instance.Cleanup: " +
			"Lambda freezes a goroutine between invocations, with its timers and connections."}
	otherEnv = fault{"asks another Env, or for a variable that Drill was not told of",
		"Use Instance.Env, and name all variables."}
	silent = fault{"does not say what it used",
		"Call Instance.Use or Instance.Match where the plaintext leaves the handler."}
	unjudged = fault{"cannot be judged",
		"Let the test close the connections that stay open, so that the next invocation logs in: " +
			"db.SetMaxIdleConns(0), or pool.Reset() in the Handler."}
	exits = fault{"exits the process",
		"Return the error: log.Fatal ends the environment, and the next invocation begins with another init."}
	stuck = fault{"is stuck outside the bubble",
		"Use no network, file or lock that another program serves, and no busy loop: " +
			"give the handler a driver, a dialer or an http.RoundTripper of the test."}
)

// report reports a fault, once in a subtest for each variable.
func (d *drill) report(f fault, variable, circumstances string) {
	d.t.Helper()
	key := fault{f.name, variable}
	if d.told[key] {
		return
	}
	d.told[key] = true
	d.t.Error(f.text(variable, circumstances))
}

func (f fault) text(variable, circumstances string) string {
	if variable != "" {
		variable += ": "
	}
	return fmt.Sprintf("%s%s: %s.\n    Next step: %s", variable, f.name, circumstances, f.next)
}

// A use is a plaintext that the handler used.
type use struct {
	variable *variable // nil if it is none of this environment's
	current  bool
	refused  bool
	odd      *fault // of no variable: what is wrong with it
	of       string // the variable that it may be meant for
	why      string
}

// useOf finds what a text is.
func (d *drill) useOf(text string) use {
	if d.discovers {
		return use{}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, v := range d.vars {
		if v.constant() && text == v.shape {
			return use{variable: v, current: true}
		}
		known := d.known[v]
		for i, plaintext := range known {
			if text == plaintext || text == v.whole(plaintext) && !v.json() {
				current := i == len(known)-1
				return use{variable: v, current: current, refused: !current}
			}
		}
	}
	u := d.misuse(text)
	u.refused = true
	return u
}

// misuse says what is wrong with a text that is none of the environment's plaintexts.
func (d *drill) misuse(text string) use {
	_, notRef := secrets.ParseRef(text)
	switch {
	case text == "":
		return use{odd: &without,
			why: "it uses an empty text: a login without a password, or an empty signing key"}
	case text == secrets.Value{}.String():
		return use{odd: &wrongPart, why: "it uses " + text + ", because a secrets.Value was printed"}
	case notRef == nil:
		return use{odd: &without, why: "it uses the reference itself"}
	}
	d.bench.mu.Lock()
	defer d.bench.mu.Unlock()
	if v := d.earlier[text]; v != nil {
		return use{odd: &keeps, of: v.name, why: "it uses a value of an earlier execution environment, " +
			"from a package variable or a sync.Once of the process"}
	}
	for plaintext, v := range d.earlier {
		if strings.Contains(text, plaintext) {
			return use{odd: &wrongPart, of: v.name, why: "it uses a text with the plaintext in it: " +
				"the whole secret where a field is meant, or a connection string"}
		}
	}
	return use{odd: &without, why: "it uses a text that no variable holds: a default"}
}

// useThat finds the plaintext that a function accepts.
func (d *drill) useThat(accepts func(string) bool) use {
	if d.discovers {
		return use{}
	}
	for _, text := range d.candidates() {
		if accepts(text) {
			return d.useOf(text)
		}
	}
	return use{refused: true, odd: &without, why: "what it made is not made of any plaintext that it was given"}
}

// candidates returns all texts that a handler may have used: the newest first.
func (d *drill) candidates() (texts []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, v := range d.vars {
		if v.constant() {
			texts = append(texts, v.shape)
		}
		for _, plaintext := range slices.Backward(d.known[v]) {
			texts = append(texts, plaintext, v.whole(plaintext))
		}
	}
	texts = append(texts, "", secrets.Value{}.String())
	for _, v := range d.vars {
		texts = append(texts, v.environ())
	}
	d.bench.mu.Lock()
	defer d.bench.mu.Unlock()
	for plaintext, v := range d.earlier {
		texts = append(texts, plaintext, v.whole(plaintext))
	}
	return texts
}

// judgeOdd reports uses of texts that are no variable's.
func (d *drill) judgeOdd(o outcome, circumstances string) (ok bool) {
	d.t.Helper()
	for _, u := range o.odd {
		if u.odd != nil {
			d.report(*u.odd, cmp.Or(u.of, d.onlyVariable()), circumstances+": "+u.why)
			return false
		}
	}
	return true
}

// keeping is the fault of a handler that uses an old value.
func (d *drill) keeping(v *variable) fault {
	if d.caching[v] {
		return caches
	}
	return keeps
}

// onlyVariable returns the name of the variable that a text without a name must be meant for.
func (d *drill) onlyVariable() string {
	if len(d.vars) == 1 {
		return d.vars[0].name
	}
	return ""
}

// expect reports an outcome unless each variable that was used has its current value. The
// circumstances say when that was.
func (d *drill) expect(o outcome, circumstances string) (ok bool) {
	d.t.Helper()
	if o.bad {
		return false
	}
	ok = d.judgeOdd(o, circumstances)
	for _, v := range d.vars {
		if u, used := o.last[v]; used && !u.current {
			d.report(d.keeping(v), v.name, circumstances+": it uses the old value, which is refused since")
			ok = false
		}
	}
	switch {
	case !ok, o.err == nil:
	case errors.Is(o.err, secrets.ErrNotReference):
		d.report(otherEnv, "", circumstances+": "+d.hide(o.err.Error()))
		ok = false
	default:
		d.report(failing, "", circumstances+": "+d.hide(o.err.Error()))
		ok = false
	}
	return ok
}

// expectError reports an outcome if the handler used a value, though there is none.
func (d *drill) expectError(o outcome, circumstances string) (ok bool) {
	d.t.Helper()
	if o.bad {
		return false
	}
	ok = d.judgeOdd(o, circumstances)
	for _, v := range d.vars {
		if _, used := o.last[v]; used && !v.constant() {
			d.report(d.keeping(v), v.name, circumstances+
				": it goes on with a value that it kept: what is revoked must stop working")
			ok = false
		}
	}
	return ok
}

// hide takes the plaintexts out of what Drill prints itself.
func (d *drill) hide(text string) string {
	d.bench.mu.Lock()
	defer d.bench.mu.Unlock()
	for plaintext := range d.earlier {
		text = strings.ReplaceAll(text, plaintext, "[REDACTED]")
	}
	return text
}

// judgeTexts looks for plaintexts in all that a call gave out.
func (d *drill) judgeTexts(r returned) {
	d.t.Helper()
	said := func(x any) string {
		if x == nil {
			return ""
		}
		return fmt.Sprintf("%+v", x)
	}
	d.mu.Lock()
	known := map[string]string{}
	for v, plaintexts := range d.known {
		for _, plaintext := range plaintexts {
			known[plaintext] = v.name
		}
	}
	d.mu.Unlock()
	for plaintext, name := range known {
		switch {
		case leaks(r.printed, plaintext):
			d.report(prints, name, "its output or its log holds it")
		case leaks(said(r.err), plaintext):
			d.report(prints, name, "its error holds it")
		case leaks(said(r.panicked), plaintext):
			d.report(prints, name, "its panic holds it")
		}
		if leaks(said(r.reply), plaintext) || leaks(encoded(r.reply), plaintext) {
			d.report(replies, name, "its reply holds it")
		}
	}
}

// encoded returns a reply as Lambda encodes it.
func encoded(reply any) string {
	switch reply := reply.(type) {
	case nil:
		return ""
	case []byte:
		return string(reply)
	}
	text, err := json.Marshal(reply)
	if err != nil {
		return ""
	}
	return string(text)
}

// leaks reports whether a plaintext stands in a text: as it is, as bytes, in hexadecimal or in
// base64, as in a header of basic authentication.
func leaks(text, plaintext string) bool {
	if text == "" {
		return false
	}
	numbers := strings.Trim(fmt.Sprint([]byte(plaintext)), "[]")
	for _, form := range []string{plaintext, hex.EncodeToString([]byte(plaintext)), numbers} {
		if strings.Contains(text, form) {
			return true
		}
	}
	for before := range 3 {
		// Whole groups of 3 bytes only: what stands around the plaintext changes the others.
		inner := plaintext[before : before+(len(plaintext)-before)/3*3]
		if strings.Contains(text, base64.RawStdEncoding.EncodeToString([]byte(inner))) {
			return true
		}
	}
	return false
}
