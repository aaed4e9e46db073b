package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// read finds the environments in text: one in NAME=value lines, one per function in the env JSON of sam local, one of all outputs and one per output that is a map
// in terraform's JSON.
func read(text []byte) ([]map[string]string, error) {
	text = bytes.TrimPrefix(text, []byte("\ufeff")) // Windows editors begin files with it
	if text = bytes.TrimSpace(text); len(text) == 0 {
		return nil, errors.New("the input is empty")
	}
	if text[0] != '{' {
		environ, err := readLines(string(text))
		return []map[string]string{environ}, err
	}
	var object map[string]any
	if err := json.Unmarshal(text, &object); err != nil {
		return nil, fmt.Errorf("read JSON: %w", err)
	}
	return readObject(object), nil
}

// readLines reads what env prints and what .env files hold. Quotes around a whole value are dropped, and what stands behind white space and a #.
func readLines(text string) (map[string]string, error) {
	environ := map[string]string{}
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if rest, ok := strings.CutPrefix(line, "export"); ok && strings.TrimLeft(rest, " \t") != rest {
			line = strings.TrimLeft(rest, " \t")
		}
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok || strings.ContainsAny(name, " \t\"'") || name == "" {
			return nil, fmt.Errorf("line %d is not NAME=value; a value of several lines can be read from JSON only", n) // its text may be a secret
		}
		environ[name] = unquoted(value)
	}
	return environ, nil
}

// unquoted takes the quotes and the comment off a value. No reference holds a blank before a #, and the text of what is no reference does not matter here.
func unquoted(value string) string {
	if value != "" && (value[0] == '"' || value[0] == '\'') {
		inside, after, closed := strings.Cut(value[1:], value[:1])
		if after = strings.TrimSpace(after); closed && (after == "" || after[0] == '#') {
			return inside
		}
		return value
	}
	for _, comment := range []string{" #", "\t#"} {
		value, _, _ = strings.Cut(value, comment)
	}
	return strings.TrimSpace(value)
}

// readObject takes the strings of an object as one environment, and each object in it, or in a list in it, as another: sam's {"Function": {"NAME": "value"}}, Lambda's
// {"Environment": {"Variables": {…}}}. An output of terraform stands for its value.
func readObject(object map[string]any) []map[string]string {
	environ := map[string]string{}
	var all []map[string]string
	for _, name := range slices.Sorted(maps.Keys(object)) {
		v := object[name]
		if output, ok := v.(map[string]any); ok {
			if _, terraform := output["sensitive"].(bool); terraform {
				v = output["value"]
			}
		}
		if text, ok := v.(string); ok {
			environ[name] = text
		}
		all = append(all, inside(v)...)
	}
	if len(environ) > 0 {
		all = append(all, environ)
	}
	return all
}

// inside reads the objects in v.
func inside(v any) (all []map[string]string) {
	switch v := v.(type) {
	case map[string]any:
		return readObject(v)
	case []any:
		for _, item := range v {
			all = append(all, inside(item)...)
		}
	}
	return all
}
