package endpoint

import (
	"crypto/rand"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/lambdasecrets/secrets/internal/iam"
)

type secret struct {
	name, arn string
	key       *key
	versions  []*secretVersion // oldest first
	deletion  time.Time        // when a scheduled deletion is due; zero: none
	created   time.Time
}

type secretVersion struct {
	id      string
	text    *string // SecretString, or
	binary  []byte  // SecretBinary
	stages  []string
	created time.Time
}

const (
	current  = "AWSCURRENT"
	previous = "AWSPREVIOUS"
	pending  = "AWSPENDING"
)

// CreateSecret makes a secret without a value, under a key named by ID, ARN or alias; "" is aws/secretsmanager. It
// returns the ARN, whose six last characters are random: a secret deleted and made again has another one.
func (st *Store) CreateSecret(name, key string) (arn string) {
	st.server.mu.Lock()
	defer st.server.mu.Unlock()
	sec, err := st.newSecret(name, key)
	must(err)
	return sec.arn
}

var secretName = regexp.MustCompile(`^[A-Za-z0-9/_+=.@!-]{1,512}$`)

func (st *Store) newSecret(name, keyID string) (*secret, error) {
	if !secretName.MatchString(name) {
		return nil, errorf("ValidationException",
			"Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!")
	}
	if old := st.secrets[name]; old != nil && !st.gone(old) {
		if !old.deletion.IsZero() {
			return nil, errorf("InvalidRequestException",
				"You can't create this secret because a secret with this name is already scheduled for deletion.")
		}
		return nil, errorf("ResourceExistsException",
			"The operation failed because the secret %s already exists.", name)
	}
	if keyID == "" {
		keyID = "alias/aws/secretsmanager"
	}
	k, err := st.findKey(keyID)
	if err != nil {
		return nil, err
	}
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	suffix := make([]byte, 6)
	rand.Read(suffix)
	for i := range suffix {
		suffix[i] = letters[int(suffix[i])%len(letters)]
	}
	sec := &secret{name: name, key: k, created: st.server.now()}
	sec.arn = strings.TrimSuffix(st.scope.SecretARN(name), "??????") + string(suffix)
	st.secrets[name] = sec
	return sec, nil
}

// PutSecret gives a secret a new current version, making the secret first where there is none. A value that is not
// valid UTF-8 should come through PutSecretBinary.
func (st *Store) PutSecret(name, value string) (arn, versionID string) {
	return st.putSecret(name, &value, nil, current)
}

// PutSecretBinary is PutSecret for a SecretBinary.
func (st *Store) PutSecretBinary(name string, value []byte) (arn, versionID string) {
	return st.putSecret(name, nil, slices.Clone(value), current)
}

// PutPending begins a rotation: it adds a version that is AWSPENDING and nothing else.
func (st *Store) PutPending(name, value string) (versionID string) {
	_, versionID = st.putSecret(name, &value, nil, pending)
	return versionID
}

func (st *Store) putSecret(name string, text *string, binary []byte, stage string) (arn, versionID string) {
	st.server.mu.Lock()
	defer st.server.mu.Unlock()
	sec := st.secrets[name]
	if sec == nil || st.gone(sec) {
		var err error
		sec, err = st.newSecret(name, "")
		must(err)
	}
	v, err := st.addVersion(sec, uuid(), text, binary, []string{stage})
	must(err)
	return sec.arn, v.id
}

// addVersion adds a version and moves the stages to it.
func (st *Store) addVersion(sec *secret, id string, text *string, binary []byte,
	stages []string) (*secretVersion, error) {
	switch {
	case !sec.deletion.IsZero():
		return nil, markedForDeletion()
	case text == nil && binary == nil:
		return nil, errorf("InvalidRequestException", "You must provide either SecretString or SecretBinary.")
	case text != nil && binary != nil:
		return nil, errorf("InvalidParameterException",
			"You can't specify both a binary secret value and a string secret value in the same secret.")
	case text != nil && len(*text) > 65536, len(binary) > 65536:
		return nil, invalid(nil, "secretString", "Member must have length less than or equal to 65536")
	}
	v := &secretVersion{id: id, text: text, binary: binary, created: st.server.now()}
	sec.versions = append(sec.versions, v)
	for _, stage := range stages {
		sec.move(stage, v)
	}
	return v, nil
}

// move attaches a stage to v, or to none. The version that loses AWSCURRENT to another becomes AWSPREVIOUS.
func (sec *secret) move(stage string, v *secretVersion) {
	for _, old := range sec.versions {
		if old == v || !slices.Contains(old.stages, stage) {
			continue
		}
		// Copies: an answer that is being written may hold the old list.
		old.stages = slices.DeleteFunc(slices.Clone(old.stages), func(s string) bool { return s == stage })
		if stage == current && v != nil {
			sec.move(previous, old)
		}
	}
	if v != nil && !slices.Contains(v.stages, stage) {
		v.stages = append(slices.Clip(v.stages), stage)
		if stage == current { // it cannot be its own predecessor
			v.stages = slices.DeleteFunc(slices.Clone(v.stages), func(s string) bool { return s == previous })
		}
	}
}

// MoveStage attaches a staging label to a version, or with versionID "" removes it.
func (st *Store) MoveStage(name, stage, versionID string) {
	st.server.mu.Lock()
	defer st.server.mu.Unlock()
	sec, err := st.findSecret(name)
	must(err)
	v := sec.byID(versionID)
	if v == nil && versionID != "" {
		must(missingVersion(versionID))
	}
	sec.move(stage, v)
}

// FinishRotation makes the pending version current.
func (st *Store) FinishRotation(name string) {
	st.server.mu.Lock()
	defer st.server.mu.Unlock()
	sec, err := st.findSecret(name)
	must(err)
	v := sec.byStage(pending)
	if v == nil {
		must(missingStage(pending))
	}
	sec.move(current, v)
	sec.move(pending, nil)
}

// DeleteSecret marks a secret for deletion in 30 days; until then RestoreSecret takes it back.
func (st *Store) DeleteSecret(name string) {
	st.server.mu.Lock()
	defer st.server.mu.Unlock()
	sec, err := st.findSecret(name)
	must(err)
	sec.deletion = st.server.now().AddDate(0, 0, 30)
}

// RestoreSecret takes the mark away.
func (st *Store) RestoreSecret(name string) {
	st.server.mu.Lock()
	defer st.server.mu.Unlock()
	sec, err := st.findSecret(name)
	must(err)
	sec.deletion = time.Time{}
}

// PurgeSecret deletes a secret without recovery.
func (st *Store) PurgeSecret(name string) {
	st.server.mu.Lock()
	defer st.server.mu.Unlock()
	sec, err := st.findSecret(name)
	must(err)
	delete(st.secrets, sec.name)
}

func (st *Store) gone(sec *secret) bool {
	return !sec.deletion.IsZero() && !st.server.now().Before(sec.deletion)
}

// findSecret resolves a name, a full ARN or a partial one. An ARN that looks full is never taken as partial, so a
// secret whose own name ends in a hyphen and six characters cannot be found by its partial ARN; AWS warns of that.
func (st *Store) findSecret(id string) (*secret, error) {
	if sec := st.secrets[id]; sec != nil && !st.gone(sec) {
		return sec, nil
	}
	if strings.HasPrefix(id, "arn:") {
		full := iam.FullSecretARN(id)
		for _, sec := range st.secrets {
			if !st.gone(sec) && (sec.arn == id || !full && len(sec.arn) == len(id)+7 &&
				strings.HasPrefix(sec.arn, id+"-")) {
				return sec, nil
			}
		}
	}
	return nil, errorf("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
}

func (sec *secret) byID(id string) *secretVersion {
	for _, v := range sec.versions {
		if v.id == id {
			return v
		}
	}
	return nil
}

func (sec *secret) byStage(stage string) *secretVersion {
	for _, v := range sec.versions {
		if slices.Contains(v.stages, stage) {
			return v
		}
	}
	return nil
}

func markedForDeletion() error {
	return errorf("InvalidRequestException",
		"You can't perform this operation on the secret because it was marked for deletion.")
}

func missingVersion(id string) error {
	return errorf("ResourceNotFoundException",
		"Secrets Manager can't find the specified secret value for VersionId: %s", id)
}

func missingStage(stage string) error {
	return errorf("ResourceNotFoundException",
		"Secrets Manager can't find the specified secret value for staging label: %s", stage)
}

// authorizeSecret checks an action on a secret: on its ARN, or where there is none on the ARN of the bare name, which
// a policy for …:secret:name-?????? does not cover. A secret of another account takes a resource policy, which this
// server's secrets do not have. A denial repeats the id as it was sent.
func (r *request) authorizeSecret(action, id string) error {
	arn := id
	if sec, err := r.store.findSecret(id); err == nil {
		arn = sec.arn
	} else if !strings.HasPrefix(id, "arn:") {
		arn = strings.TrimSuffix(r.store.scope.SecretARN(id), "-??????")
	}
	if f := strings.SplitN(arn, ":", 6); f[4] != r.store.scope.Account {
		return r.denied(action, id, "because no resource-based policy allows the "+action+" action")
	}
	return r.authorizeAs(action, arn, id, nil)
}

type getSecretInput struct {
	SecretId     string
	VersionId    *string
	VersionStage *string
}

var versionID = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// checkSecretID applies the model's limits and the service's grammar.
func checkSecretID(id string) error {
	if err := length(id, "secretId", 1, 2048); err != nil {
		return err
	}
	if strings.HasPrefix(id, "arn:") {
		if f := strings.SplitN(id, ":", 7); len(f) == 7 && f[2] == "secretsmanager" && f[5] == "secret" &&
			secretName.MatchString(f[6]) {
			return nil
		}
		return errorf("ValidationException", "Invalid ARN. Must be a valid ARN of a secret.") // words unverified
	}
	if !secretName.MatchString(id) {
		return errorf("ValidationException",
			"Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!")
	}
	return nil
}

// secretVersion finds what GetSecretValue asks for.
func (st *Store) secretVersion(in getSecretInput) (*secret, *secretVersion, error) {
	sec, err := st.findSecret(in.SecretId)
	if err != nil {
		return nil, nil, err
	}
	if !sec.deletion.IsZero() {
		return nil, nil, markedForDeletion()
	}
	stage := current
	if in.VersionStage != nil {
		stage = *in.VersionStage
	}
	if in.VersionId == nil {
		v := sec.byStage(stage) // a secret without any value has no AWSCURRENT, and says just that
		if v == nil {
			return nil, nil, missingStage(stage)
		}
		return sec, v, nil
	}
	v := sec.byID(*in.VersionId)
	switch {
	case v == nil:
		return nil, nil, missingVersion(*in.VersionId)
	case in.VersionStage != nil && !slices.Contains(v.stages, stage):
		return nil, nil, errorf("InvalidRequestException",
			"You provided a VersionStage that is not associated to the provided VersionId.")
	}
	return sec, v, nil
}

// unlock checks that the secret's key can be used on the caller's behalf.
func (r *request) unlock(sec *secret, v *secretVersion) error {
	if !sec.key.managed {
		kms := *r
		kms.via = "secretsmanager"
		if err := kms.authorizeKey(sec.key,
			map[string]string{"SecretARN": sec.arn, "SecretVersionId": v.id}); err != nil {
			return errorf("AccessDeniedException", "Access to KMS is not allowed")
		}
	}
	if _, err := r.store.existing(sec.key, sec.key.id); err != nil || sec.key.usable() != nil {
		return errorf("DecryptionFailure",
			"Secrets Manager can't decrypt the protected secret text using the provided KMS key.")
	}
	return nil
}

type secretOutput struct {
	ARN           string
	CreatedDate   json.Number
	Name          string
	SecretBinary  []byte  `json:",omitempty"`
	SecretString  *string `json:",omitempty"`
	VersionId     string
	VersionStages []string
}

func (sec *secret) output(v *secretVersion) secretOutput {
	return secretOutput{
		ARN: sec.arn, CreatedDate: seconds(v.created), Name: sec.name, SecretBinary: v.binary, SecretString: v.text,
		VersionId: v.id, VersionStages: v.stages,
	}
}

func (r *request) getSecretValue(in getSecretInput) (any, error) {
	if err := checkSecretID(in.SecretId); err != nil {
		return nil, err
	}
	if in.VersionId != nil {
		if err := length(*in.VersionId, "versionId", 32, 64); err != nil {
			return nil, err
		}
	}
	if in.VersionStage != nil {
		if err := length(*in.VersionStage, "versionStage", 1, 256); err != nil {
			return nil, err
		}
	}
	return r.secretValue(in)
}

func (r *request) secretValue(in getSecretInput) (any, error) {
	if err := r.authorizeSecret("secretsmanager:GetSecretValue", in.SecretId); err != nil {
		return nil, err
	}
	sec, v, err := r.store.secretVersion(in)
	if err == nil {
		err = r.unlock(sec, v)
	}
	if err != nil {
		return nil, err
	}
	r.plaintexts++
	return sec.output(v), nil
}

type batchInput struct {
	SecretIdList []string
	Filters      []json.RawMessage
	MaxResults   *int
	NextToken    string
}

// batchGetSecretValue checks its own action on "*" for the whole call, and GetSecretValue for each secret.
func (r *request) batchGetSecretValue(in batchInput) (any, error) {
	if err := r.authorize(r.op, "*", nil); err != nil {
		return nil, err
	}
	if len(in.Filters) > 0 {
		return nil, errorf("InvalidParameterException", "The embedded endpoint knows no filters.")
	}
	if len(in.SecretIdList) == 0 {
		// words unverified
		return nil, errorf("InvalidParameterException", "You must provide either SecretIdList or Filters.")
	}
	if err := count(in.SecretIdList, "secretIdList", 1, 20); err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, id := range in.SecretIdList {
		if seen[id] {
			// That duplicates are refused is reported; code and words are unverified.
			return nil, errorf("InvalidParameterException", "The SecretIdList contains duplicate secret IDs.")
		}
		seen[id] = true
	}
	values, failures := []any{}, []map[string]string{}
	for _, id := range in.SecretIdList {
		out, err := any(nil), checkSecretID(id)
		if err == nil {
			out, err = r.secretValue(getSecretInput{SecretId: id})
		}
		if err != nil {
			e := err.(*Error)
			failures = append(failures, map[string]string{"SecretId": id, "ErrorCode": e.Code, "Message": e.Message})
			continue
		}
		values = append(values, out)
	}
	return map[string]any{"SecretValues": values, "Errors": failures}, nil
}

type writeSecretInput struct {
	Name, SecretId, KmsKeyId, ClientRequestToken string
	SecretString                                 *string
	SecretBinary                                 []byte
	VersionStages                                []string
	VersionStage                                 string
	MoveToVersionId, RemoveFromVersionId         string
	RecoveryWindowInDays                         *int
	ForceDeleteWithoutRecovery                   bool
}

func (r *request) createSecret(in writeSecretInput) (any, error) {
	// A secret that is to be made is authorized under the bare name's ARN with a random suffix to come.
	if err := r.authorize(r.op, strings.TrimSuffix(r.store.scope.SecretARN(in.Name), "??????")+"000000",
		nil); err != nil {
		return nil, err
	}
	sec, err := r.store.newSecret(in.Name, in.KmsKeyId)
	if err != nil {
		return nil, err
	}
	answer := map[string]any{"ARN": sec.arn, "Name": sec.name}
	if in.SecretString != nil || in.SecretBinary != nil {
		v, err := r.store.addVersion(sec, tokenOr(in.ClientRequestToken), in.SecretString, in.SecretBinary,
			[]string{current})
		if err != nil {
			delete(r.store.secrets, sec.name)
			return nil, err
		}
		answer["VersionId"] = v.id
	}
	return answer, nil
}

func tokenOr(token string) string {
	if token == "" {
		return uuid()
	}
	return token
}

// writable checks access to a secret and finds it.
func (r *request) writable(id string) (*secret, error) {
	if err := checkSecretID(id); err != nil {
		return nil, err
	}
	if err := r.authorizeSecret(r.op, id); err != nil {
		return nil, err
	}
	return r.store.findSecret(id)
}

func (r *request) putSecretValue(in writeSecretInput) (any, error) {
	sec, err := r.writable(in.SecretId)
	if err != nil {
		return nil, err
	}
	if in.ClientRequestToken != "" {
		if err := length(in.ClientRequestToken, "clientRequestToken", 32, 64); err != nil {
			return nil, err
		}
	}
	if !sec.deletion.IsZero() {
		return nil, markedForDeletion()
	}
	stages := in.VersionStages
	if len(stages) == 0 || sec.byStage(current) == nil && !slices.Contains(stages, current) {
		stages = append(slices.Clone(stages), current) // the first value is current, whatever it is asked to be
	}
	v := sec.byID(in.ClientRequestToken)
	if v == nil {
		if v, err = r.store.addVersion(sec, tokenOr(in.ClientRequestToken), in.SecretString, in.SecretBinary,
			stages); err != nil {
			return nil, err
		}
	} else if !v.same(in.SecretString, in.SecretBinary) {
		return nil, errorf("ResourceExistsException", "You can't use ClientRequestToken %s because that value is "+
			"already in use for a version of secret %s.", v.id, sec.arn)
	}
	return map[string]any{"ARN": sec.arn, "Name": sec.name, "VersionId": v.id, "VersionStages": v.stages}, nil
}

func (v *secretVersion) same(text *string, binary []byte) bool {
	if text != nil && v.text != nil {
		return *text == *v.text
	}
	return text == nil && v.text == nil && string(binary) == string(v.binary)
}

func (r *request) updateSecretVersionStage(in writeSecretInput) (any, error) {
	sec, err := r.writable(in.SecretId)
	if err != nil {
		return nil, err
	}
	if !sec.deletion.IsZero() {
		return nil, markedForDeletion()
	}
	to, from := sec.byID(in.MoveToVersionId), sec.byID(in.RemoveFromVersionId)
	holder := sec.byStage(in.VersionStage)
	switch {
	case in.MoveToVersionId == "" && in.RemoveFromVersionId == "":
		return nil, errorf("InvalidParameterException", "You must provide MoveToVersionId or RemoveFromVersionId.")
	case in.MoveToVersionId != "" && to == nil:
		return nil, missingVersion(in.MoveToVersionId)
	case in.RemoveFromVersionId != "" && (from == nil || holder != from):
		return nil, errorf("InvalidParameterException",
			"The parameter RemoveFromVersionId must hold the staging label %s.", in.VersionStage)
	case to != nil && holder != nil && holder != to && from == nil:
		return nil, errorf("InvalidParameterException", "The parameter RemoveFromVersionId can't be empty. Staging "+
			"label %s is currently attached to version %s, so you must explicitly reference that version in "+
			"RemoveFromVersionId.", in.VersionStage, holder.id)
	case to == nil && in.VersionStage == current:
		return nil, errorf("InvalidParameterException", "You can only move staging label AWSCURRENT to a different "+
			"secret version. It can't be completely removed.")
	}
	sec.move(in.VersionStage, to)
	return map[string]any{"ARN": sec.arn, "Name": sec.name}, nil
}

func (r *request) deleteSecret(in writeSecretInput) (any, error) {
	sec, err := r.writable(in.SecretId)
	if err != nil {
		return nil, err
	}
	days := 30
	if in.RecoveryWindowInDays != nil {
		days = *in.RecoveryWindowInDays
	}
	switch {
	case in.ForceDeleteWithoutRecovery && in.RecoveryWindowInDays != nil:
		return nil, errorf("InvalidParameterException",
			"You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays.")
	case days < 7 || days > 30:
		return nil, errorf("InvalidParameterException",
			"RecoveryWindowInDays value must be between 7 and 30 days (inclusive).")
	case !sec.deletion.IsZero() && !in.ForceDeleteWithoutRecovery:
		return nil, markedForDeletion()
	}
	sec.deletion = r.server.now().AddDate(0, 0, days)
	if in.ForceDeleteWithoutRecovery {
		sec.deletion = r.server.now()
		delete(r.store.secrets, sec.name)
	}
	return map[string]any{"ARN": sec.arn, "Name": sec.name, "DeletionDate": seconds(sec.deletion)}, nil
}

func (r *request) restoreSecret(in writeSecretInput) (any, error) {
	sec, err := r.writable(in.SecretId)
	if err != nil {
		return nil, err
	}
	sec.deletion = time.Time{}
	return map[string]any{"ARN": sec.arn, "Name": sec.name}, nil
}

func (r *request) describeSecret(in writeSecretInput) (any, error) {
	sec, err := r.writable(in.SecretId)
	if err != nil {
		return nil, err
	}
	stages := map[string][]string{}
	for _, v := range sec.versions {
		if len(v.stages) > 0 {
			stages[v.id] = v.stages
		}
	}
	answer := map[string]any{"ARN": sec.arn, "Name": sec.name, "CreatedDate": seconds(sec.created),
		"VersionIdsToStages": stages}
	if !sec.key.managed {
		answer["KmsKeyId"] = sec.key.arn
	}
	if !sec.deletion.IsZero() {
		answer["DeletedDate"] = seconds(sec.deletion)
	}
	return answer, nil
}
