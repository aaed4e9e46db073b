package environ

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
)

// Open reads the file that args names, or in. Where in is a terminal it tells on notes what it waits for.
func Open(args []string, in io.Reader, notes io.Writer) ([]Environment, error) {
	switch len(args) {
	case 0:
		if f, ok := in.(*os.File); ok {
			if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
				fmt.Fprint(notes, "Type NAME=value lines or paste JSON, then Ctrl-D. A file's name as the last\n"+
					"argument is read instead; -h tells the flags.\n")
			}
		}
	case 1:
		file, err := os.Open(args[0])
		if err != nil {
			return nil, err
		}
		defer file.Close()
		in = file
	default:
		return nil, errors.New("at most one file can be read, and flags stand before it")
	}
	text, err := io.ReadAll(in)
	if err != nil {
		return nil, err
	}
	return Read(text)
}

// Read finds the environments in text: one in NAME=value lines, one per function in JSON.
func Read(text []byte) ([]Environment, error) {
	text = bytes.TrimSpace(utf8Text(text))
	if len(text) == 0 {
		return nil, errors.New("the input is empty")
	}
	if text[0] != '{' && text[0] != '[' {
		vars, err := readLines(string(text))
		return []Environment{{Vars: vars}}, err
	}
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		return nil, fmt.Errorf("read JSON: %w", err)
	}
	return readJSON(v), nil
}

// utf8Text decodes UTF-16, which PowerShell's > writes, and drops a byte order mark.
func utf8Text(text []byte) []byte {
	var order binary.ByteOrder
	switch {
	case bytes.HasPrefix(text, []byte{0xff, 0xfe}), len(text) > 1 && text[0] != 0 && text[1] == 0:
		order = binary.LittleEndian
	case bytes.HasPrefix(text, []byte{0xfe, 0xff}), len(text) > 1 && text[0] == 0:
		order = binary.BigEndian
	default:
		return bytes.TrimPrefix(text, []byte("\ufeff"))
	}
	units := make([]uint16, len(text)/2)
	for i := range units {
		units[i] = order.Uint16(text[2*i:])
	}
	return []byte(strings.TrimPrefix(string(utf16.Decode(units)), "\ufeff"))
}

var (
	// What a shell, or PowerShell, writes before a name.
	exported = regexp.MustCompile(`(?i)^((export|declare -x|set)[ \t]+|\$env:)`)
	yamlLine = regexp.MustCompile(`^(---|- |["']?[\w.:/-]+["']?:( |$))`)
)

// readLines reads what env prints and what .env files hold.
func readLines(text string) ([]Variable, error) {
	var vars []Variable
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	for n := 0; n < len(lines); n++ {
		line := exported.ReplaceAllString(strings.TrimSpace(lines[n]), "")
		if line == "" || line[0] == '#' {
			continue
		}
		if yamlLine.MatchString(line) {
			return nil, errors.New("this is YAML: give the synthesized JSON (cdk synth --json, " +
				"aws cloudformation get-template --template-stage Processed, yq -o json), " +
				"or aws lambda get-function-configuration")
		}
		name, value, ok := strings.Cut(line, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if !ok || strings.ContainsAny(name, " \t\"'") || name == "" { // the line may be a secret: it is not quoted
			return nil, fmt.Errorf("line %d is not NAME=value; a value of several lines stands in quotes", n+1)
		}
		if more := unclosed(value, lines[n+1:]); more > 0 {
			value += "\n" + strings.Join(lines[n+1:n+1+more], "\n")
			n += more
		}
		vars = append(vars, Variable{Name: name, Text: unquoted(value)})
	}
	return vars, nil
}

// unclosed returns how many of the next lines belong to a value whose quote is not closed: up to the one that closes
// it at its end, or none.
func unclosed(value string, next []string) int {
	quote := value[:min(1, len(value))]
	if (quote != `"` && quote != "'") || strings.Count(value, quote) > 1 {
		return 0
	}
	for i, line := range next {
		_, after, closed := strings.Cut(line, quote)
		if after = strings.TrimSpace(after); closed && (after == "" || after[0] == '#') {
			return i + 1
		}
		if closed {
			break
		}
	}
	return 0
}

// unquoted takes the quotes and the comment off a value. No reference holds a blank before a #, and the text of what
// is no reference does not matter here.
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

// reader collects the environments of a JSON document.
type reader struct {
	template template
	found    []Environment
	unknown  bool // in the part of a Terraform plan that says what only applying it will tell
}

// readJSON takes the members that are called environment, wherever they stand: a configuration, a template, a plan and
// a task definition hold theirs there. Where there is none, objects are environments: sam local's env.json, Terraform's
// outputs, an object of variables.
func readJSON(v any) []Environment {
	r := reader{template: newTemplate(v)}
	r.search("", v)
	if len(r.found) == 0 && r.template.resources == nil {
		r.objects("", v)
	}
	return r.found
}

// search looks for members called environment. name is the nearest name around them.
func (r *reader) search(name string, v any) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			r.search(name, item)
		}
	case map[string]any:
		around := Environment{Function: text(v, "FunctionName", "functionName", "function_name")}
		around.Where = cmp.Or(around.Function, name)
		if arn := strings.Split(text(v, "FunctionArn", "functionArn"), ":"); len(arn) > 4 {
			around.Region, around.Account = arn[3], arn[4]
		}
		if role := text(v, "Role", "role"); strings.HasPrefix(role, "arn:") {
			around.Role = role
		}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			switch strings.ToLower(key) {
			case "environment":
				around.Vars = append(around.Vars, r.variables("", v[key])...)
			case "env": // of Kubernetes and Docker
				if list, ok := v[key].([]any); ok {
					around.Vars = append(around.Vars, r.variables("", list)...)
				} else {
					r.search(key, v[key])
				}
			case "secrets": // of a task definition
				around.Vars = append(around.Vars, injected(v[key])...)
				r.search(key, v[key])
			case "properties", "values": // say nothing of whose they are
				r.search(name, v[key])
			case "after_unknown":
				r.unknown = true
				r.search(name, v[key])
				r.unknown = false
			default:
				r.search(key, v[key])
			}
		}
		if len(around.Vars) > 0 {
			r.found = append(r.found, around)
		}
	}
}

// text is the first of an object's members that is a string.
func text(object map[string]any, names ...string) string {
	for _, name := range names {
		if s, ok := object[name].(string); ok {
			return s
		}
	}
	return ""
}

// variables reads an environment in any of its forms: an object, an object in Variables, pairs of name and value,
// NAME=value, or a list of these.
func (r *reader) variables(name string, v any) (vars []Variable) {
	switch v := output(v).(type) {
	case bool:
		if v && r.unknown && name != "" {
			one := unknown("known after apply", name)
			one.Name = name
			return []Variable{one}
		}
	case string:
		if name != "" {
			return []Variable{{Name: name, Text: v}}
		}
		if name, value, ok := strings.Cut(v, "="); ok {
			return []Variable{{Name: name, Text: value}}
		}
	case []any:
		for i, item := range v {
			at := ""
			if name != "" && !isObject(item) {
				at = name + "[" + strconv.Itoa(i) + "]"
			}
			vars = append(vars, r.variables(at, item)...)
		}
	case map[string]any:
		if isExpression(v) {
			return r.template.evaluate(name, v)
		}
		if pair := text(v, "name", "Name"); pair != "" {
			if v["valueFrom"] != nil {
				return nil // Kubernetes injects it
			}
			for _, key := range []string{"value", "Value"} {
				if value, ok := v[key]; ok {
					return r.variables(pair, value)
				}
			}
		}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if below := strings.ToLower(key); below == "variables" {
				vars = append(vars, r.variables("", v[key])...)
			} else {
				vars = append(vars, r.variables(key, v[key])...)
			}
		}
	}
	return vars
}

// injected reads the secrets of a task definition.
func injected(v any) (vars []Variable) {
	list, _ := v.([]any)
	for _, item := range list {
		pair, _ := item.(map[string]any)
		if name := text(pair, "name", "Name"); name != "" && (pair["valueFrom"] != nil || pair["ValueFrom"] != nil) {
			vars = append(vars, Variable{Name: name, Injected: true})
		}
	}
	return vars
}

// objects takes the strings and lists of strings of an object as one environment, and each object in it as another.
// An output of Terraform stands for its value.
func (r *reader) objects(name string, v any) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			r.objects(name, item)
		}
	case map[string]any:
		env := Environment{Where: name}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			value := output(v[key])
			if isObject(value) {
				r.objects(key, value)
				continue
			}
			list, _ := value.([]any)
			objects := slices.DeleteFunc(slices.Clone(list), func(item any) bool { return !isObject(item) })
			if len(objects) > 0 {
				r.objects(key, objects)
				value = slices.DeleteFunc(slices.Clone(list), isObject)
			}
			env.Vars = append(env.Vars, r.variables(key, value)...)
		}
		if len(env.Vars) > 0 {
			r.found = append(r.found, env)
		}
	}
}

// output unwraps an output of Terraform.
func output(v any) any {
	if object, ok := v.(map[string]any); ok {
		if _, terraform := object["sensitive"].(bool); terraform && object["value"] != nil {
			return object["value"]
		}
	}
	return v
}

func isObject(v any) bool {
	object, ok := v.(map[string]any)
	return ok && !isExpression(object)
}
