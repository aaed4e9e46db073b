package arn

import (
	"strings"
	"testing"
)

func TestParse_Table(t *testing.T) {
	t.Parallel()
	const text = "arn:aws:ssm:eu-west-1:123456789012:parameter/a:3"
	a, ok := Parse(text)
	if want := (ARN{"aws", "ssm", "eu-west-1", "123456789012", "parameter/a:3"}); !ok || a != want ||
		a.String() != text {
		t.Errorf("%+v, %v, want %+v", a, ok, want)
	}
	for _, text := range []string{"", "arn", "arn:aws:ssm:eu-west-1:123456789012:",
		"x:aws:ssm:eu-west-1:123456789012:a", "arn:aws:ssm:eu-west-1:a"} {
		if a, ok := Parse(text); ok {
			t.Errorf("%q is read as %+v", text, a)
		}
	}
	if got := InRegion(text, "us-east-1"); got != strings.Replace(text, "eu-west-1", "us-east-1", 1) ||
		InRegion("a", "b") != "a" {
		t.Errorf("the replica is %s", got)
	}
	if Region(text) != "eu-west-1" || Region("a") != "" || !Is("arn:x") || Is("xarn:") {
		t.Error("Region or Is is wrong")
	}
}

func TestIsKey_Table(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"arn:aws:kms:eu-central-1:123456789012:key/1":    true,
		"arn:aws:kms:eu-central-1:123456789012:alias/a":  false,
		"arn:aws:kms:eu-central-1:123456789012:key/":     false,
		"arn:aws:kms:eu-central-1::key/1":                false,
		"arn:aws:kms::123456789012:key/1":                false,
		"arn:aws:ssm:eu-central-1:123456789012:key/1":    false,
		"1234abcd-12ab-34cd-56ef-1234567890ab":           false,
		"arn:aws:kms:eu-central-1:123456789012":          false,
		"arn:aws-cn:kms:cn-north-1:123456789012:key/mrk": true,
	} {
		if IsKey(text) != want {
			t.Errorf("%s: %v", text, !want)
		}
	}
}

func TestPartition_OfRegion(t *testing.T) {
	t.Parallel()
	for region, partition := range map[string]string{
		"eu-west-1": "aws", "ap-southeast-10": "aws", "cn-northwest-1": "aws-cn", "us-gov-east-1": "aws-us-gov",
		"us-iso-east-1": "aws-iso", "us-isob-east-1": "aws-iso-b", "eu-isoe-west-1": "aws-iso-e",
		"us-isof-south-1": "aws-iso-f", "eusc-de-east-1": "aws-eusc",
	} {
		if !IsRegion(region) || Partition(region) != partition {
			t.Errorf("%s: %v, %s, want true, %s", region, IsRegion(region), Partition(region), partition)
		}
	}
	for _, region := range []string{
		"", "eu-west", "EU-WEST-1", "eu-west-1.evil.example", "x@attacker.example:443/#", "eu-west-1\n", "eu--1",
		"e-west-1", "europ-west-1",
		"eu-west-100", "aws-global", "eu-" + strings.Repeat("a", 60) + "-1",
	} {
		if IsRegion(region) {
			t.Errorf("IsRegion(%q) = true", region)
		}
	}
}
