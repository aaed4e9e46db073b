#!/bin/sh
# Installs the programs of others that the tests of this module run, where they are missing: cfn-lint with SAM's
# transform from PyPI, tflint from its source, the library of CDK from npm. They go into a folder of their own below
# the user's cache. What cannot be had is said, and the tests leave it out.
set -u
case $(uname) in
Darwin) tools=$HOME/Library/Caches/lambdasecrets-tools ;;
*) tools=${XDG_CACHE_HOME:-$HOME/.cache}/lambdasecrets-tools ;;
esac
mkdir -p "$tools/bin"
PATH=$PATH:$tools/bin
log=$(mktemp)
trap 'rm -f "$log"' EXIT

if ! cfn-lint --version >/dev/null 2>&1; then
	if python3 -m venv "$tools/venv" >"$log" 2>&1 &&
		"$tools/venv/bin/pip" install -q --timeout 20 --retries 1 cfn-lint==1.51.0 >>"$log" 2>&1; then
		ln -sf "$tools/venv/bin/cfn-lint" "$tools/bin/cfn-lint"
	else
		tail -n 1 "$log"
		echo 'left out: cfn-lint could not be installed'
	fi
fi
if ! tflint --version >/dev/null 2>&1; then
	# Without "direct": a module that the proxy lacks is not looked for elsewhere.
	proxy=$(go env GOPROXY)
	GOPROXY=${proxy%%,*} GOFLAGS=-mod=mod GOBIN=$tools/bin timeout 300 \
		go install github.com/terraform-linters/tflint@v0.64.0 >"$log" 2>&1 || {
		tail -n 1 "$log"
		echo 'left out: tflint could not be built within five minutes'
	}
fi
if ! [ -d "$tools/cdk/node_modules/aws-cdk-lib" ]; then
	npm install --no-audit --no-fund --prefix "$tools/cdk" aws-cdk-lib@2.276.0 constructs@10 >"$log" 2>&1 || {
		tail -n 1 "$log"
		echo 'left out: aws-cdk-lib could not be installed'
	}
fi
