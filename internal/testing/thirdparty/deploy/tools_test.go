package deploy

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2/hclwrite"
)

const example = "../../../../examples/handler"

// tools is the folder into which install.sh installs.
func tools(t *testing.T) string {
	t.Helper()
	return filepath.Join(must[string](t)(os.UserCacheDir()), "lambdasecrets-tools")
}

// program returns the path of a program that others made: of PATH, or where install.sh puts it. It skips the test if
// there is none.
func program(t *testing.T, name, what string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil && exec.Command(path, "--version").Run() == nil {
		return path
	}
	if path := filepath.Join(tools(t), "bin", name); exec.Command(path, "--version").Run() == nil {
		return path
	}
	t.Skipf("left out: %s: there is no %s, and install.sh could not install it", what, name)
	return ""
}

// clean runs a program, which has nothing to say.
func clean(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1", "AWS_DEFAULT_REGION="+region)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s %s: %v\n%s", filepath.Base(name), strings.Join(args, " "), err, out)
	}
}

func TestCFNLint(t *testing.T) {
	t.Parallel()
	clean(t, example, program(t, "cfn-lint", "cfn-lint of template.yaml"), "template.yaml")
}

// SAM's own transform makes of the template what the other tests take it for.
func TestSAMTransform(t *testing.T) {
	t.Parallel()
	const what = "SAM's transform of template.yaml"
	python, err := filepath.EvalSymlinks(program(t, "cfn-lint", what))
	if err != nil {
		t.Fatal(err)
	}
	python = filepath.Join(filepath.Dir(python), "python3") // in a virtual environment
	if exec.Command(python, "-c", "import samtranslator").Run() != nil {
		python = "python3"
	}
	if exec.Command(python, "-c", "import samtranslator").Run() != nil {
		t.Skipf("left out: %s: Python has no samtranslator", what)
	}
	cmd := exec.Command(python, "testdata/sam.py", example+"/template.yaml")
	cmd.Env = append(os.Environ(), "AWS_DEFAULT_REGION="+region)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, err.(*exec.ExitError).Stderr)
	}
	var template struct {
		Resources map[string]struct {
			Type       string
			Condition  string
			Properties map[string]any
		}
	}
	if err := json.Unmarshal(out, &template); err != nil {
		t.Fatal(err)
	}
	function, role := template.Resources["Function"], template.Resources["FunctionRole"]
	if function.Type != "AWS::Lambda::Function" || role.Type != "AWS::IAM::Role" ||
		function.Condition != role.Condition {
		t.Fatalf("SAM makes of the function %v, with %v", function, role)
	}
	policies := convert[[]struct {
		PolicyDocument struct{ Statement []struct{ Sid string } }
	}](t, role.Properties["Policies"])
	var sids []string
	for _, s := range policies[0].PolicyDocument.Statement {
		sids = append(sids, s.Sid)
	}
	want := []string{"ReadDatabase", "DecryptDatabase", "ReadApiKey", "DecryptSigningKey"}
	if len(policies) != 1 || !reflect.DeepEqual(sids, want) {
		t.Errorf("the role's statements are %v in %d policies, want %v", sids, len(policies), want)
	}
}

// The core of terraform fmt comes with the parser of HCL.
func TestTerraformFormat(t *testing.T) {
	t.Parallel()
	text := must[[]byte](t)(os.ReadFile(example + "/main.tf"))
	if formatted := hclwrite.Format(text); string(formatted) != string(text) {
		t.Errorf("main.tf is not as terraform fmt writes it:\n%s", formatted)
	}
}

func TestTerraform(t *testing.T) {
	t.Parallel()
	terraform := program(t, "terraform", "terraform fmt -check and validate of main.tf")
	clean(t, example, terraform, "fmt", "-check", "-diff")
	if os.Getenv("SECRETS_TERRAFORM_INIT") == "" {
		t.Log("left out: terraform validate needs the providers; " +
			"SECRETS_TERRAFORM_INIT=1 lets terraform init download them")
		return
	}
	dir := t.TempDir() // init writes beside the configuration
	text := must[[]byte](t)(os.ReadFile(example + "/main.tf"))
	if err := os.WriteFile(dir+"/main.tf", text, 0o600); err != nil {
		t.Fatal(err)
	}
	clean(t, dir, terraform, "init", "-backend=false", "-input=false")
	clean(t, dir, terraform, "validate")
}

func TestTFLint(t *testing.T) {
	t.Parallel()
	tflint := program(t, "tflint", "tflint of main.tf")
	clean(t, example, tflint)
	clean(t, example, tflint, "--enable-rule=terraform_documented_variables",
		"--enable-rule=terraform_documented_outputs",
		"--enable-rule=terraform_naming_convention", "--enable-rule=terraform_unused_declarations")
}
