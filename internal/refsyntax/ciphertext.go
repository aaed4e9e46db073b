package refsyntax

import (
	"maps"
	"slices"
	"strings"
)

// Contexts returns the encryption contexts to try for a ciphertext, in order. The
// console's is {"LambdaFunctionName": function}, unless function is "".
func (r Ref) Contexts(function string) []map[string]string {
	console := map[string]string{"LambdaFunctionName": function}
	none := map[string]string(nil)
	switch {
	case strings.HasPrefix(r.Context, "context."):
		return []map[string]string{r.EncryptionContext()}
	case r.Context == ContextNone, function == "":
		return []map[string]string{none}
	case r.Context == ContextConsole:
		return []map[string]string{console, none}
	}
	return []map[string]string{none, console}
}

// ShownContext prints an encryption context, which is no secret: CloudTrail shows it.
func ShownContext(m map[string]string) string {
	if len(m) == 0 {
		return "none"
	}
	var pairs []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		pairs = append(pairs, k+"="+m[k])
	}
	return "{" + strings.Join(pairs, ", ") + "}"
}
