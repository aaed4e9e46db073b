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

// readLines reads what env prints and what .env files hold. Quotes around a whole value are dropped.
func readLines(text string) (map[string]string, error) {
	environ := map[string]string{}
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimPrefix(strings.TrimSpace(line), "export ")
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok || strings.ContainsAny(name, " \t\"'") || name == "" {
			return nil, fmt.Errorf("line %d is not NAME=value", n) // its text may be a secret
		}
		if len(value) > 1 && (value[0] == '"' || value[0] == '\'') && value[len(value)-1] == value[0] {
			value = value[1 : len(value)-1]
		}
		environ[name] = value
	}
	return environ, nil
}

// readObject takes the strings of an object as one environment, and each object in it as another: sam's {"Function": {"NAME": "value"}}, Lambda's
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
		switch v := v.(type) {
		case string:
			environ[name] = v
		case map[string]any:
			all = append(all, readObject(v)...)
		}
	}
	if len(environ) > 0 {
		all = append(all, environ)
	}
	return all
}
