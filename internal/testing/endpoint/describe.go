package endpoint

import (
	"encoding/json"
	"slices"
	"strings"
)

// The operations of this file tell of what there is, and give no plaintext.

type describeParametersInput struct {
	ParameterFilters []struct {
		Key, Option string
		Values      []string
	}
	NextToken  string
	MaxResults int
}

// describeParameters knows the filters Name (Equals) and Path (Recursive), which take whole names. It needs
// Resource "*".
func (r *request) describeParameters(in describeParametersInput) (any, error) {
	if err := r.authorize(r.op, "*", nil); err != nil {
		return nil, err
	}
	if len(in.ParameterFilters) != 1 || in.NextToken != "" {
		return nil, errorf("InvalidFilterKey", "The embedded endpoint takes one parameter filter.")
	}
	f := in.ParameterFilters[0]
	found := []map[string]any{}
	for name, p := range r.store.parameters {
		match := f.Key == "Name" && (f.Option == "" || f.Option == "Equals") && slices.Contains(f.Values, name) ||
			f.Key == "Path" && f.Option == "Recursive" && slices.ContainsFunc(f.Values, func(path string) bool {
				return strings.HasPrefix(name, strings.TrimSuffix(path, "/")+"/")
			})
		if !match {
			continue
		}
		v := p.versions[len(p.versions)-1]
		one := map[string]any{"Name": p.name, "ARN": p.arn, "Type": v.kind, "Version": v.number,
			"LastModifiedDate": seconds(v.modified), "Tier": "Standard", "DataType": "text"}
		switch {
		case v.key == nil:
		case v.key.managed:
			one["KeyId"] = "alias/aws/ssm"
		default:
			one["KeyId"] = v.key.arn
		}
		found = append(found, one)
	}
	slices.SortFunc(found, func(a, b map[string]any) int {
		return strings.Compare(a["Name"].(string), b["Name"].(string))
	})
	return map[string]any{"Parameters": found}, nil
}

type listVersionsInput struct {
	SecretId          string
	IncludeDeprecated bool
}

// listSecretVersionIds lists versions without a stage only when it is asked to.
func (r *request) listSecretVersionIds(in listVersionsInput) (any, error) {
	sec, err := r.writable(in.SecretId)
	if err != nil {
		return nil, err
	}
	versions := []map[string]any{}
	for _, v := range sec.versions {
		if len(v.stages) > 0 || in.IncludeDeprecated {
			versions = append(versions, map[string]any{"VersionId": v.id, "VersionStages": v.stages,
				"CreatedDate": seconds(v.created)})
		}
	}
	return map[string]any{"ARN": sec.arn, "Name": sec.name, "Versions": versions}, nil
}

// describeKey resolves aliases, and is allowed on the key behind them.
func (r *request) describeKey(in keyInput) (any, error) {
	k, err := r.store.findKey(in.KeyId)
	if err == nil {
		err = r.authorizeKey(k, nil)
	}
	if err != nil {
		return nil, err
	}
	state, manager := "Enabled", "CUSTOMER"
	switch {
	case !k.deletion.IsZero():
		state = "PendingDeletion"
	case k.disabled:
		state = "Disabled"
	}
	if k.managed {
		manager = "AWS"
	}
	return map[string]any{"KeyMetadata": map[string]any{
		"AWSAccountId": r.store.scope.Account, "KeyId": k.id, "Arn": k.arn, "Enabled": state == "Enabled",
		"KeyState": state,
		"KeyUsage": "ENCRYPT_DECRYPT", "KeyManager": manager,
	}}, nil
}

// SetKeyPolicy is what GetKeyPolicy answers for a key named by ID, ARN or alias. It decides nothing: see
// [Server.SetPolicy]. Without it a key has the default policy, which leaves everything to the account's IAM policies.
func (st *Store) SetKeyPolicy(id, document string) {
	if !json.Valid([]byte(document)) {
		panic("endpoint: the key policy is no JSON")
	}
	st.change(id, func(_ *Store, k *key) { k.policy = document })
}

func (r *request) getKeyPolicy(in keyInput) (any, error) {
	k, err := r.store.findKey(in.KeyId)
	if err == nil {
		err = r.authorizeKey(k, nil)
	}
	if err != nil {
		return nil, err
	}
	document := k.policy
	if document == "" {
		document = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:` +
			r.store.scope.Partition +
			`:iam::` + r.store.scope.Account + `:root"},"Action":"kms:*","Resource":"*"}]}`
	}
	return map[string]any{"Policy": document, "PolicyName": "default"}, nil
}
