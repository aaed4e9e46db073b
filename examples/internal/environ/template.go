package environ

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/lambdasecrets/secrets"
)

// A template is what a CloudFormation template says of names: resources and parameters.
type template struct{ resources, parameters map[string]any }

func newTemplate(v any) template {
	object, _ := v.(map[string]any)
	resources, _ := object["Resources"].(map[string]any)
	parameters, _ := object["Parameters"].(map[string]any)
	return template{resources, parameters}
}

// isExpression reports whether an object is one of CloudFormation's intrinsic functions.
func isExpression(object map[string]any) bool {
	if len(object) != 1 {
		return false
	}
	for key := range object {
		return key == "Ref" || strings.HasPrefix(key, "Fn::")
	}
	return false
}

// maxAlternatives bounds what nested conditions can multiply to.
const maxAlternatives = 64

// evaluate returns what an expression may become: more than one text where it holds an Fn::If.
func (t template) evaluate(name string, v any) []Variable {
	all := t.values(v)
	for i := range all {
		all[i].Name = name
	}
	return all
}

// values evaluates v to variables without a name.
func (t template) values(v any) []Variable {
	switch v := v.(type) {
	case string:
		return []Variable{{Text: v}}
	case map[string]any:
		for function, args := range v {
			if isExpression(v) {
				return t.call(function, args)
			}
		}
	}
	return nil // numbers and booleans are no references
}

func (t template) call(function string, args any) []Variable {
	list, _ := args.([]any)
	name, _ := args.(string)
	switch {
	case function == "Ref" && name != "":
		return []Variable{t.ref(name)}
	case function == "Fn::GetAtt" && name != "":
		return []Variable{t.attribute(name)}
	case function == "Fn::GetAtt" && len(list) == 2:
		resource, _ := list[0].(string)
		attribute, _ := list[1].(string)
		return []Variable{t.attribute(resource + "." + attribute)}
	case function == "Fn::Sub" && name != "":
		return t.sub(name, nil)
	case function == "Fn::Sub" && len(list) == 2:
		text, _ := list[0].(string)
		names, _ := list[1].(map[string]any)
		return t.sub(text, names)
	case function == "Fn::Join" && len(list) == 2:
		separator, _ := list[0].(string)
		if parts, ok := list[1].([]any); ok {
			return t.join(separator, parts)
		}
	case function == "Fn::If" && len(list) == 3:
		return append(t.values(list[1]), t.values(list[2])...)
	}
	return []Variable{unknown(function, function)}
}

// unknown stands in for what only the deployment knows. It ends in no hyphen and six characters, which would make a
// partial ARN look like a whole one.
func unknown(expression, name string) Variable {
	return Variable{Text: NameStandIn + notInNames.ReplaceAllString(name, "_"), Unknown: expression}
}

var notInNames = regexp.MustCompile(`[^A-Za-z0-9]+`)

// ref is what Ref returns of a pseudo parameter, a parameter or a resource.
func (t template) ref(name string) Variable {
	switch name {
	case "AWS::Region":
		return Variable{Text: RegionStandIn}
	case "AWS::AccountId":
		return Variable{Text: AccountStandIn}
	case "AWS::Partition":
		return Variable{Text: "aws"}
	case "AWS::URLSuffix":
		return Variable{Text: "amazonaws.com"}
	case "AWS::NoValue":
		return Variable{}
	}
	v := unknown("Ref "+name, name)
	if parameter, ok := t.parameters[name].(map[string]any); ok {
		if value := text(parameter, "Default"); value != "" &&
			!strings.HasPrefix(text(parameter, "Type"), "AWS::SSM::") {
			return Variable{Text: value}
		}
		return v
	}
	resource, _ := t.resources[name].(map[string]any)
	properties, _ := resource["Properties"].(map[string]any)
	switch kind := text(resource, "Type"); kind {
	case "":
	case "AWS::SecretsManager::Secret", "AWS::SecretsManager::SecretTargetAttachment":
		v.Holds = secrets.SecretsManager
		v.Text = "arn:aws:secretsmanager:" + RegionStandIn + ":" + AccountStandIn + ":secret:" +
			cmp.Or(text(properties, "Name"), v.Text)
	case "AWS::SSM::Parameter":
		v.Holds = secrets.SSM
		v.Text = cmp.Or(text(properties, "Name"), "/"+v.Text)
	default:
		v.Holds = secrets.Literal
	}
	return v
}

// attribute is what Fn::GetAtt returns.
func (t template) attribute(name string) Variable {
	resource, attribute, _ := strings.Cut(name, ".")
	v := unknown("Fn::GetAtt "+name, name)
	switch of := t.ref(resource); {
	case strings.HasSuffix(attribute, "SecretArn"), attribute == "Id" && of.Holds == secrets.SecretsManager:
		of.Holds = secrets.SecretsManager
		if !strings.HasPrefix(of.Text, "arn:") {
			of.Text = "arn:aws:secretsmanager:" + RegionStandIn + ":" + AccountStandIn + ":secret:" + v.Text
		}
		return Variable{Text: of.Text, Unknown: v.Unknown, Holds: of.Holds}
	case of.Holds == secrets.Literal, of.Holds == secrets.SSM: // Value and Type of a parameter are no references
		v.Holds = secrets.Literal
	}
	return v
}

var inSub = regexp.MustCompile(`\$\{[^}]*\}`)

// sub is Fn::Sub: ${Name}, ${Name.Attribute}, and ${!Name} for the text ${Name}.
func (t template) sub(text string, names map[string]any) []Variable {
	var parts []any
	for {
		at := inSub.FindStringIndex(text)
		if at == nil {
			return t.join("", append(parts, text))
		}
		name := strings.TrimSpace(text[at[0]+2 : at[1]-1])
		parts = append(parts, text[:at[0]])
		switch value, given := names[name]; {
		case given:
			parts = append(parts, value)
		case strings.HasPrefix(name, "!"):
			parts = append(parts, "${"+name[1:]+"}")
		case strings.Contains(name, "."):
			parts = append(parts, map[string]any{"Fn::GetAtt": name})
		default:
			parts = append(parts, map[string]any{"Ref": name})
		}
		text = text[at[1]:]
	}
}

// join puts parts together. An expression that is all there is stays what it is.
func (t template) join(separator string, parts []any) []Variable {
	all := []Variable{{}}
	first := true
	for _, part := range parts {
		if part == "" && separator == "" {
			continue
		}
		var longer []Variable
		for _, begin := range all {
			for _, v := range t.values(part) {
				if !first {
					v = Variable{Text: begin.Text + separator + inside(begin.Text+separator, v)}
				}
				longer = append(longer, v)
			}
		}
		all, first = longer[:min(len(longer), maxAlternatives)], false
	}
	return all
}

// inside is the text of v within a longer one. A parameter's unknown name begins with a slash where a path may follow:
// a and /a share one ARN.
func inside(before string, v Variable) string {
	if v.Unknown != "" && before == "ssm://" && !strings.HasPrefix(v.Text, "/") && !strings.HasPrefix(v.Text, "arn:") {
		return "/" + v.Text
	}
	return v.Text
}

// Unknowns lists the stand-ins for names in text.
func Unknowns(text string) []string {
	found := standIn.FindAllString(text, -1)
	slices.Sort(found)
	return slices.Compact(found)
}

var standIn = regexp.MustCompile(NameStandIn + `\w+`)
