package jsonfield

import (
	"maps"
	"slices"
)

// Object returns the JSON object of the values, with sorted keys. Strings are escaped
// only where JSON demands it, so that [Lookup] gives each value back as it was; it
// refuses an object in which a key or value is not UTF-8.
func Object(values map[string]string) string {
	b := []byte{'{'}
	for i, key := range slices.Sorted(maps.Keys(values)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, key), ':')
		b = appendString(b, values[key])
	}
	return string(append(b, '}'))
}

func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ':
			const digits = "0123456789abcdef"
			b = append(b, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}
