package jsonfield

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// scanner reads valid JSON text from pos on. Its methods leave pos behind what they
// read.
type scanner struct {
	text  string
	pos   int
	visit func(key, value string) // called for each child of the outermost value, unless nil
}

// document checks the whole text and returns its value without the white space around.
func document(doc string) (string, error) {
	if !utf8.ValidString(doc) || !json.Valid([]byte(doc)) {
		return "", ErrNotJSON
	}
	doc = strings.Trim(doc, " \t\r\n")
	s := scanner{text: doc}
	return doc, s.value(0)
}

// value reads one value, which stands in depth others. It fails on what encoding/json
// lets pass.
func (s *scanner) value(depth int) error {
	switch s.text[s.pos] {
	case '{', '[':
		if depth >= maxDepth {
			return ErrTooDeep
		}
		return s.container(depth)
	case '"':
		_, err := decode(s.string())
		return err
	}
	// A number, true, false or null goes on to what may follow it.
	if n := strings.IndexAny(s.text[s.pos:], ",]} \t\r\n"); n >= 0 {
		s.pos += n
	} else {
		s.pos = len(s.text)
	}
	return nil
}

// container reads an object or array.
func (s *scanner) container(depth int) error {
	object := s.text[s.pos] == '{'
	seen := make(map[string]bool)
	s.pos++ // the bracket; below, a comma
	for i := 0; ; i++ {
		s.space()
		if c := s.text[s.pos]; c == '}' || c == ']' {
			s.pos++
			return nil
		}
		key := ""
		if object {
			var err error
			if key, err = decode(s.string()); err != nil {
				return err
			}
			if seen[key] {
				return ErrDuplicate
			}
			seen[key] = true
			s.space()
			s.pos++ // the colon
			s.space()
		}
		start := s.pos
		if err := s.value(depth + 1); err != nil {
			return err
		}
		if depth == 0 && s.visit != nil {
			if !object {
				key = strconv.Itoa(i) // 0, 1, 2: no sign, no leading zero
			}
			s.visit(key, s.text[start:s.pos])
		}
		if s.space(); s.text[s.pos] == ',' {
			s.pos++
		}
	}
}

// string reads a string and returns it as it is written, quotes included.
func (s *scanner) string() string {
	start := s.pos
	for s.pos++; s.text[s.pos] != '"'; s.pos++ {
		if s.text[s.pos] == '\\' {
			s.pos++
		}
	}
	s.pos++
	return s.text[start:s.pos]
}

func (s *scanner) space() {
	for s.pos < len(s.text) && strings.IndexByte(" \t\r\n", s.text[s.pos]) >= 0 {
		s.pos++
	}
}

// decode returns what a written string stands for. It refuses lone surrogates, which
// encoding/json replaces.
func decode(raw string) (string, error) {
	inner := raw[1 : len(raw)-1]
	if !strings.Contains(inner, `\`) {
		return inner, nil
	}
	for i := 0; i < len(inner); i++ {
		if inner[i] != '\\' {
			continue
		}
		if i++; inner[i] != 'u' {
			continue
		}
		if r := hex(inner[i+1:]); utf16.IsSurrogate(r) {
			low, ok := strings.CutPrefix(inner[i+5:], `\u`)
			if !ok || utf16.DecodeRune(r, hex(low)) == utf8.RuneError {
				return "", ErrNotJSON
			}
			i += 6
		}
		i += 4
	}
	var s string
	if json.Unmarshal([]byte(raw), &s) != nil {
		return "", ErrNotJSON // its own error would quote the text
	}
	return s, nil
}

// hex returns the number that the first four bytes of s write.
func hex(s string) rune {
	n, _ := strconv.ParseUint(s[:4], 16, 16)
	return rune(n)
}
