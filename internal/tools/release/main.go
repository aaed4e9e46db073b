// Command release writes what goes with a release and does not come out of the compiler: the module's zip as the module
// proxy serves it, its line for go.sum, and an SBOM in CycloneDX's JSON. It runs in the module's root. The same commit
// gives the same bytes: nothing of the time, the machine or the folder is written.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
	"golang.org/x/mod/zip"
)

const path = "github.com/lambdasecrets/secrets"

// imported are the packages that users import.
var imported = []string{".", "./secretstest", "./secretsql", "./secrethttp"}

func main() {
	log.SetFlags(0)
	version := flag.String("version", "", "the release's version, as v1.2.3")
	out := flag.String("out", "", "the folder to write to")
	flag.Parse()
	base := filepath.Join(*out, "secrets-"+*version)
	if err := writeZip(base+".zip", *version); err != nil {
		log.Fatal(err)
	}
	if err := writeSum(base+".go.sum", base+".zip", *version); err != nil {
		log.Fatal(err)
	}
	if err := writeSBOM(base+".cdx.json", *version); err != nil {
		log.Fatal(err)
	}
}

func writeZip(name, version string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	if err := zip.CreateFromVCS(f, module.Version{Path: path, Version: version}, ".", "HEAD", ""); err != nil {
		return err
	}
	return f.Close()
}

func writeSum(name, zipped, version string) error {
	sum, err := dirhash.HashZip(zipped, dirhash.Hash1)
	if err != nil {
		return err
	}
	return os.WriteFile(name, fmt.Appendf(nil, "%s %s %s\n", path, version, sum), 0o644)
}

// A component is one of CycloneDX.
type component struct {
	Type     string    `json:"type"`
	Ref      string    `json:"bom-ref,omitempty"`
	Name     string    `json:"name"`
	Version  string    `json:"version"`
	Scope    string    `json:"scope,omitempty"`
	PURL     string    `json:"purl"`
	Licenses []license `json:"licenses"`
}

type license struct {
	License struct {
		ID string `json:"id"`
	} `json:"license"`
}

type dependency struct {
	Ref       string   `json:"ref"`
	DependsOn []string `json:"dependsOn"`
}

func writeSBOM(name, version string) error {
	licenses, err := readLicenses()
	if err != nil {
		return err
	}
	modules, err := shipped()
	if err != nil {
		return err
	}
	newComponent := func(path, version string) component {
		c := component{Type: "library", Name: path, Version: version, PURL: "pkg:golang/" + path + "@" + version}
		var l license
		l.License.ID = licenses[path]
		c.Ref, c.Licenses = c.PURL, []license{l}
		return c
	}
	self := newComponent(path, version)
	components, refs := []component{}, []string{}
	for _, m := range modules {
		if licenses[m.Path] == "" {
			return fmt.Errorf("LICENSES.md has no row for %s", m.Path)
		}
		c := newComponent(m.Path, m.Version)
		c.Scope = "required"
		components, refs = append(components, c), append(refs, c.Ref)
	}
	bom := struct {
		Format       string         `json:"bomFormat"`
		Spec         string         `json:"specVersion"`
		Serial       string         `json:"serialNumber"`
		Version      int            `json:"version"`
		Metadata     map[string]any `json:"metadata"`
		Components   []component    `json:"components"`
		Dependencies []dependency   `json:"dependencies"`
	}{
		"CycloneDX", "1.5", "", 1, map[string]any{"component": self}, components, []dependency{{self.Ref, refs}},
	}
	text, err := json.Marshal(bom)
	if err != nil {
		return err
	}
	// A serial number that follows from the content, in the form of a UUID of version 8.
	h := sha256.Sum256(text)
	h[6], h[8] = h[6]&0x0f|0x80, h[8]&0x3f|0x80
	bom.Serial = fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", h[:4], h[4:6], h[6:8], h[8:10], h[10:16])
	if text, err = json.MarshalIndent(bom, "", "  "); err != nil {
		return err
	}
	return os.WriteFile(name, append(text, '\n'), 0o644)
}

// shipped returns the modules that users get with what they import, by path.
func shipped() ([]module.Version, error) {
	args := append([]string{"list", "-deps", "-f", "{{with .Module}}{{.Path}} {{.Version}}{{end}}"}, imported...)
	out, err := exec.Command("go", args...).Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	seen := map[module.Version]bool{}
	for line := range bytes.Lines(out) {
		fields := strings.Fields(string(line))
		if len(fields) == 2 && fields[0] != path {
			seen[module.Version{Path: fields[0], Version: fields[1]}] = true
		}
	}
	var modules []module.Version
	for m := range seen {
		modules = append(modules, m)
	}
	slices.SortFunc(modules, func(a, b module.Version) int { return strings.Compare(a.Path, b.Path) })
	return modules, nil
}

// readLicenses returns the licences of LICENSES.md, by module.
func readLicenses() (map[string]string, error) {
	page, err := os.ReadFile("LICENSES.md")
	if err != nil {
		return nil, err
	}
	row := regexp.MustCompile("(?m)^\\| `([^`]+)` \\| [^|]+ \\| ([^| ]+) \\|$")
	licenses := map[string]string{}
	for _, m := range row.FindAllStringSubmatch(string(page), -1) {
		licenses[m[1]] = m[2]
	}
	return licenses, nil
}
