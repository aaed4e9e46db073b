// Package bench is what the driver of the benchmarks and its contenders share: the sets of
// references, the endpoint's address, the loop that a contender's process runs, and the samples it
// prints.
package bench

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// A World says where the endpoint is and what it holds. The driver writes it to a file, the
// contenders' processes read it.
type World struct {
	HTTP, TLS   string   // URLs
	CA          string   // path of the certificates to trust
	Control     string   // URL of the endpoint's control, see the driver
	Ciphertexts []string // in base64, under the encryption context app=x
}

// LoadWorld reads the file.
func LoadWorld(path string) (*World, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	w := &World{}
	return w, json.Unmarshal(text, w)
}

// Select makes the SDK's default configuration of this process point at the endpoint, over "http"
// or "tls".
func (w *World) Select(network string) {
	os.Setenv("AWS_ENDPOINT_URL", w.HTTP)
	if network == "tls" {
		os.Setenv("AWS_ENDPOINT_URL", w.TLS)
		os.Setenv("AWS_CA_BUNDLE", w.CA)
	}
	for name, value := range Credentials {
		os.Setenv(name, value)
	}
}

// Credentials are what the endpoint is called with.
var Credentials = map[string]string{
	"AWS_REGION":                "eu-west-1",
	"AWS_ACCESS_KEY_ID":         "AKIDEXAMPLE",
	"AWS_SECRET_ACCESS_KEY":     "secret-access-key",
	"AWS_EC2_METADATA_DISABLED": "true",
}

// A Set is what one cold start resolves: so many references of each kind.
type Set struct {
	Name                             string
	Parameters, Secrets, Ciphertexts int
	Twice                            int // secrets that two variables read, a field each
}

// Sets are all of them. 25+25 is half parameters and half secrets, 60vars the environment of the first tests.
var Sets = []Set{
	{Name: "1", Secrets: 1},
	{Name: "25s", Secrets: 25},
	{Name: "10", Parameters: 4, Secrets: 4, Ciphertexts: 2},
	{Name: "50", Parameters: 20, Secrets: 20, Ciphertexts: 10},
	{Name: "25+25", Parameters: 25, Secrets: 25},
	{Name: "60vars", Parameters: 25, Secrets: 25, Ciphertexts: 5, Twice: 5},
}

// Most is how many of each kind a Set can have.
const Most = 25

// ReadNames is how many names a cached read goes round.
const ReadNames = 8

// SetNamed returns the set of that name, or an error.
func SetNamed(name string) (Set, error) {
	for _, s := range Sets {
		if s.Name == name {
			return s, nil
		}
	}
	return Set{}, fmt.Errorf("no set %q", name)
}

// Parameter, Secret and Ciphertext return the name and the plaintext of the i-th of each kind. A
// secret is a JSON object; its plaintext here is that of its field password, so that the text is
// the same for those who parse it and those who do not.
func Parameter(i int) (name, plaintext string) {
	return fmt.Sprintf("/app/p%02d", i), fmt.Sprintf("parameter-%d", i)
}

func Secret(i int) (name, plaintext string) {
	return fmt.Sprintf("app/s%02d", i), fmt.Sprintf(`{"user":"u%d","password":"secret-%d"}`, i, i)
}

func Ciphertext(i int) (plaintext string) { return fmt.Sprintf("cipher-%d", i) }

// Environ returns the variables of a function that refers to s.
func (w *World) Environ(s Set) map[string]string {
	environ := map[string]string{"PLAIN": "plain"}
	for i := range s.Parameters {
		name, _ := Parameter(i)
		environ[fmt.Sprintf("P%02d", i)] = "ssm://" + name
	}
	for i := range s.Secrets {
		name, _ := Secret(i)
		environ[fmt.Sprintf("S%02d", i)] = "sm://" + name
		if i < s.Twice {
			environ[fmt.Sprintf("S%02d", i)] += "#password"
			environ[fmt.Sprintf("U%02d", i)] = "sm://" + name + "#user"
		}
	}
	for i := range s.Ciphertexts {
		environ[fmt.Sprintf("K%02d", i)] = "kms://" + w.Ciphertexts[i] + "?context.app=x"
	}
	return environ
}

// Check reports whether the plaintexts that a contender brought are those of s: one per reference,
// in the order of Parameter, Secret and Ciphertext.
func (s Set) Check(got []string) error {
	var want []string
	for i := range s.Parameters {
		_, text := Parameter(i)
		want = append(want, text)
	}
	for i := range s.Secrets {
		_, text := Secret(i)
		want = append(want, text)
	}
	for i := range s.Ciphertexts {
		want = append(want, Ciphertext(i))
	}
	if len(got) != len(want) {
		return fmt.Errorf("%d plaintexts, want %d", len(got), len(want))
	}
	for i := range want {
		// A contender that picks a field of a secret brings that.
		if got[i] != want[i] && !strings.Contains(want[i], `"`+got[i]+`"`) {
			return fmt.Errorf("plaintext %d is wrong", i)
		}
	}
	return nil
}
