package endpoint

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"
)

type key struct {
	id, arn  string
	ref      [32]byte // stands in ciphertexts for the key
	aead     cipher.AEAD
	managed  bool // an AWS managed key, alias/aws/…: callers of its service need no permission of their own
	disabled bool
	deletion time.Time // when a scheduled deletion is due; zero: none scheduled
	policy   string    // what GetKeyPolicy answers; "": the default
}

// CreateKey makes a symmetric key and returns its ARN.
func (st *Store) CreateKey() (arn string) {
	st.server.mu.Lock()
	defer st.server.mu.Unlock()
	return st.newKey().arn
}

func (st *Store) newKey() *key {
	secret := make([]byte, 32)
	rand.Read(secret)
	block, err := aes.NewCipher(secret)
	must(err)
	aead, err := cipher.NewGCMWithRandomNonce(block) // the only GCM that FIPS 140 permits
	must(err)
	k := &key{id: uuid(), aead: aead}
	k.arn = st.scope.KeyARN(k.id)
	k.ref = sha256.Sum256([]byte("key reference " + k.arn))
	st.keys[k.id] = k
	return k
}

// ReplicateKey makes in st a replica of another Region's key, as of a multi-Region key: it decrypts what
// that one encrypted, and the other way round. It returns the replica's ARN.
func (st *Store) ReplicateKey(arn string) string {
	st.server.mu.Lock()
	defer st.server.mu.Unlock()
	f := strings.SplitN(arn, ":", 6)
	k, err := st.server.region(f[4], f[3]).findKey(arn)
	must(err)
	replica := *k
	replica.arn = st.scope.KeyARN(k.id)
	st.keys[k.id] = &replica
	return replica.arn
}

// managedKey is the AWS managed key of a service, made on first use as AWS does: "alias/aws/ssm".
func (st *Store) managedKey(alias string) *key {
	k := st.aliases[alias]
	if k == nil {
		k = st.newKey()
		k.managed = true
		st.aliases[alias] = k
	}
	return k
}

// CreateAlias gives a key, named by ID, ARN or another alias, the alias "alias/…".
func (st *Store) CreateAlias(alias, key string) {
	st.server.mu.Lock()
	defer st.server.mu.Unlock()
	must(st.addAlias(alias, key))
}

func (st *Store) addAlias(alias, id string) error {
	k, err := st.findKey(id)
	switch {
	case err != nil:
		return err
	case !strings.HasPrefix(alias, "alias/") || strings.HasPrefix(alias, "alias/aws/"):
		return errorf("ValidationException", "Alias must start with the prefix \"alias/\" and not with \"alias/aws/\"")
	case st.aliases[alias] != nil:
		return errorf("AlreadyExistsException", "An alias with the name %s already exists", st.aliasARN(alias))
	}
	st.aliases[alias] = k
	return nil
}

func (st *Store) aliasARN(alias string) string {
	return strings.TrimSuffix(st.scope.KeyARN(""), "key/*") + alias
}

// DisableKey disables a key named by ID, ARN or alias.
func (st *Store) DisableKey(key string) { st.change(key, (*Store).disable) }

// EnableKey enables it again.
func (st *Store) EnableKey(key string) { st.change(key, (*Store).enable) }

// ScheduleKeyDeletion makes a key unusable at once and gone after 30 days.
func (st *Store) ScheduleKeyDeletion(key string) { st.change(key, (*Store).schedule) }

func (st *Store) change(id string, f func(*Store, *key)) {
	st.server.mu.Lock()
	defer st.server.mu.Unlock()
	k, err := st.findKey(id)
	must(err)
	f(st, k)
}

func (st *Store) disable(k *key)  { k.disabled = true }
func (st *Store) enable(k *key)   { k.disabled = false }
func (st *Store) schedule(k *key) { k.deletion = st.server.now().AddDate(0, 0, 30) }

// Encrypt encrypts at most 4096 bytes under a key named by ID, ARN or alias, as the service's own Encrypt does. The
// blob is what KMS Decrypt accepts with the same context, in this Region only.
func (st *Store) Encrypt(key string, plaintext []byte, context map[string]string) []byte {
	st.server.mu.Lock()
	defer st.server.mu.Unlock()
	k, err := st.findKey(key)
	must(err)
	must(k.usable())
	return k.seal(plaintext, context)
}

// findKey resolves a key ID, key ARN, alias or alias ARN.
func (st *Store) findKey(id string) (*key, error) {
	name := id
	if strings.HasPrefix(id, "arn:") {
		f := strings.SplitN(id, ":", 6)
		if len(f) < 6 || f[2] != "kms" {
			return nil, errorf("ValidationException", "Invalid arn %s", id)
		}
		if f[3] != st.scope.Region {
			return nil, errorf("NotFoundException", "Invalid arn %s", f[3]) // AWS's words
		}
		if f[4] != st.scope.Account {
			return nil, errorf("NotFoundException", "Key '%s' does not exist", id)
		}
		name = strings.TrimPrefix(f[5], "key/")
	}
	if strings.HasPrefix(name, "alias/") {
		if name == "alias/aws/ssm" || name == "alias/aws/secretsmanager" {
			return st.managedKey(name), nil
		}
		if k := st.aliases[name]; k != nil {
			return st.existing(k, id)
		}
		return nil, errorf("NotFoundException", "Alias %s is not found.", st.aliasARN(name))
	}
	return st.existing(st.keys[name], id)
}

// existing hides keys whose deletion is done.
func (st *Store) existing(k *key, id string) (*key, error) {
	if k == nil || !k.deletion.IsZero() && !st.server.now().Before(k.deletion) {
		return nil, errorf("NotFoundException", "Key '%s' does not exist", st.scope.KeyARN(id))
	}
	return k, nil
}

func (st *Store) keyByRef(ref [32]byte) *key {
	for _, k := range st.keys {
		if k.ref == ref {
			found, _ := st.existing(k, k.id)
			return found
		}
	}
	return nil
}

func (k *key) usable() error {
	switch {
	case !k.deletion.IsZero():
		return errorf("KMSInvalidStateException", "%s is pending deletion.", k.arn)
	case k.disabled:
		return errorf("DisabledException", "%s is disabled.", k.arn)
	}
	return nil
}

// The blob has the shape of real ones: a five-byte header, a reference to the key, and CMS EncryptedData with
// AES-256-GCM; 12 bytes of plaintext give 153. AWS does not publish its format; nothing may depend on this one.
var blobHeader = []byte{1, 2, 2, 0, 0x78}

type blob struct {
	ref           [32]byte
	nonce, sealed []byte
}

type cmsBlob struct {
	Type asn1.ObjectIdentifier
	Data struct {
		Version int
		Content struct {
			Type      asn1.ObjectIdentifier
			Algorithm struct {
				ID     asn1.ObjectIdentifier
				Params struct {
					Nonce []byte
					ICV   int
				}
			}
			Sealed []byte `asn1:"tag:0"`
		}
	} `asn1:"explicit,tag:0"`
}

const nonceSize = 12

// Offsets in a blob: header, key reference, one byte, sixteen random ones, length, CMS.
const (
	refAt    = 5
	lengthAt = refAt + 32 + 17
	cmsAt    = lengthAt + 4
)

func (k *key) seal(plaintext []byte, context map[string]string) []byte {
	var c cmsBlob
	c.Type = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 6}
	c.Data.Content.Type = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	c.Data.Content.Algorithm.ID = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 46}
	c.Data.Content.Algorithm.Params.ICV = 16
	sealed := k.aead.Seal(nil, nil, plaintext, aad(k.ref, context))
	c.Data.Content.Algorithm.Params.Nonce = sealed[:nonceSize]
	c.Data.Content.Sealed = sealed[nonceSize:]
	der, err := asn1.Marshal(c)
	must(err)
	b := append(append(slices.Clone(blobHeader), k.ref[:]...), 1)
	random := make([]byte, 16)
	rand.Read(random)
	b = append(b, random...)
	b = append(b, byte(len(der)>>24), byte(len(der)>>16), byte(len(der)>>8), byte(len(der)))
	return append(b, der...)
}

func parseBlob(b []byte) (blob, error) {
	invalid := &Error{Code: "InvalidCiphertextException"} // with an empty message, always
	if len(b) < cmsAt || !bytes.HasPrefix(b, blobHeader) {
		return blob{}, invalid
	}
	var c cmsBlob
	if rest, err := asn1.Unmarshal(b[cmsAt:], &c); err != nil || len(rest) > 0 {
		return blob{}, invalid
	}
	nonce := c.Data.Content.Algorithm.Params.Nonce
	if len(nonce) != nonceSize {
		return blob{}, invalid
	}
	return blob{ref: [32]byte(b[refAt:]), nonce: nonce, sealed: c.Data.Content.Sealed}, nil
}

// aad binds a ciphertext to its context: pairs in any order, keys and values exactly. An empty context is none.
func aad(ref [32]byte, context map[string]string) []byte {
	b := slices.Clone(ref[:])
	for _, k := range slices.Sorted(maps.Keys(context)) {
		pair, _ := json.Marshal([2]string{k, context[k]})
		b = append(b, pair...)
	}
	return b
}

func (k *key) open(b blob, context map[string]string) ([]byte, error) {
	plaintext, err := k.aead.Open(nil, nil, append(slices.Clone(b.nonce), b.sealed...), aad(k.ref, context))
	if err != nil {
		return nil, &Error{Code: "InvalidCiphertextException"}
	}
	return plaintext, nil
}

type decryptInput struct {
	CiphertextBlob      []byte
	EncryptionContext   map[string]string
	EncryptionAlgorithm string
	KeyId               *string
	GrantTokens         []string
	DryRun              bool
}

// unreachable is KMS's answer for every reason it will not tell apart.
func unreachable() *Error {
	return errorf("AccessDeniedException", "The ciphertext refers to a customer master key that does not exist, "+
		"does not exist in this region, or you are not allowed to access.")
}

func (r *request) decrypt(in decryptInput) (any, error) {
	if len(in.CiphertextBlob) < 1 {
		return nil, invalid(nil, "ciphertextBlob", "Member must have length greater than or equal to 1")
	}
	if len(in.CiphertextBlob) > 6144 {
		return nil, invalid(nil, "ciphertextBlob", "Member must have length less than or equal to 6144")
	}
	if len(in.GrantTokens) > 10 {
		return nil, count(in.GrantTokens, "grantTokens", 0, 10)
	}
	var named *key
	if in.KeyId != nil {
		if err := length(*in.KeyId, "keyId", 1, 2048); err != nil {
			return nil, err
		}
		var err error
		if named, err = r.store.findKey(*in.KeyId); err != nil {
			return nil, err
		}
		if err := r.authorizeKey(named, in.EncryptionContext); err != nil {
			return nil, err
		}
	}
	b, err := parseBlob(in.CiphertextBlob)
	if err != nil {
		return nil, err
	}
	k := r.store.keyByRef(b.ref)
	switch {
	case named != nil && k != named:
		return nil, errorf("IncorrectKeyException",
			"The key ID in the request does not identify a CMK that can perform this operation.")
	case k == nil:
		return nil, unreachable()
	case named == nil:
		// Unverified: with a key named, KMS's denial reads like any other service's; without, like this. Both are seen.
		if r.authorizeKey(k, in.EncryptionContext) != nil {
			return nil, unreachable()
		}
	}
	if in.EncryptionAlgorithm != "" && in.EncryptionAlgorithm != "SYMMETRIC_DEFAULT" {
		return nil, errorf("InvalidKeyUsageException", "Algorithm %s is incompatible with key spec SYMMETRIC_DEFAULT.",
			in.EncryptionAlgorithm)
	}
	if err := k.usable(); err != nil {
		return nil, err
	}
	plaintext, err := k.open(b, in.EncryptionContext)
	if err != nil {
		return nil, err
	}
	if in.DryRun {
		return nil, errorf("DryRunOperationException",
			"The request would have succeeded, but the DryRun option is set.")
	}
	r.plaintexts++
	return map[string]any{"KeyId": k.arn, "Plaintext": plaintext, "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}, nil
}

// authorizeKey checks an action on a key; r.via says on whose behalf.
func (r *request) authorizeKey(k *key, context map[string]string) error {
	action := r.op
	if r.via != "" {
		action = "kms:Decrypt"
	}
	keys := map[string][]string{"kms:EncryptionContextKeys": slices.Sorted(maps.Keys(context))}
	for name, value := range context {
		keys["kms:EncryptionContext:"+name] = []string{value}
	}
	switch r.via {
	case "ssm":
		keys["kms:ViaService"] = []string{r.store.scope.ParameterKey("", "").Condition["kms:ViaService"]}
	case "secretsmanager":
		keys["kms:ViaService"] = []string{r.store.scope.SecretKey("", "").Condition["kms:ViaService"]}
	}
	return r.authorize(action, k.arn, keys)
}

type encryptInput struct {
	KeyId             string
	Plaintext         []byte
	EncryptionContext map[string]string
}

func (r *request) encrypt(in encryptInput) (any, error) {
	if len(in.Plaintext) < 1 {
		return nil, invalid(nil, "plaintext", "Member must have length greater than or equal to 1")
	}
	if len(in.Plaintext) > 4096 {
		return nil, invalid(nil, "plaintext", "Member must have length less than or equal to 4096")
	}
	k, err := r.store.findKey(in.KeyId)
	if err == nil {
		err = r.authorizeKey(k, in.EncryptionContext)
	}
	if err == nil {
		err = k.usable()
	}
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"KeyId": k.arn, "CiphertextBlob": k.seal(in.Plaintext, in.EncryptionContext),
		"EncryptionAlgorithm": "SYMMETRIC_DEFAULT",
	}, nil
}

type keyInput struct {
	KeyId, TargetKeyId, AliasName, Description string
	PendingWindowInDays                        *int
}

func (r *request) createKey(in keyInput) (any, error) {
	if err := r.authorize(r.op, "*", nil); err != nil {
		return nil, err
	}
	k := r.store.newKey()
	return map[string]any{"KeyMetadata": map[string]any{
		"AWSAccountId": r.store.scope.Account, "KeyId": k.id, "Arn": k.arn, "CreationDate": seconds(r.server.now()),
		"Enabled":     true,
		"Description": in.Description, "KeyUsage": "ENCRYPT_DECRYPT", "KeyState": "Enabled", "Origin": "AWS_KMS",
		"KeyManager": "CUSTOMER",
		"KeySpec":    "SYMMETRIC_DEFAULT", "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT",
		"EncryptionAlgorithms": []string{"SYMMETRIC_DEFAULT"},
		"MultiRegion":          false,
	}}, nil
}

func (r *request) createAlias(in keyInput) (any, error) {
	k, err := r.store.findKey(in.TargetKeyId)
	if err == nil {
		err = r.authorizeKey(k, nil)
	}
	if err == nil {
		err = r.store.addAlias(in.AliasName, in.TargetKeyId)
	}
	return struct{}{}, err
}

func (r *request) disableKey(in keyInput) (any, error) { return r.changeKey(in, (*Store).disable) }
func (r *request) enableKey(in keyInput) (any, error)  { return r.changeKey(in, (*Store).enable) }

func (r *request) changeKey(in keyInput, f func(*Store, *key)) (any, error) {
	k, err := r.store.findKey(in.KeyId)
	if err == nil {
		err = r.authorizeKey(k, nil)
	}
	if err == nil && !k.deletion.IsZero() {
		err = k.usable()
	}
	if err != nil {
		return nil, err
	}
	f(r.store, k)
	return struct{}{}, nil
}

func (r *request) scheduleKeyDeletion(in keyInput) (any, error) {
	days := 30
	if in.PendingWindowInDays != nil {
		days = *in.PendingWindowInDays
	}
	if days < 7 || days > 30 {
		return nil, errorf("ValidationException", "PendingWindowInDays must be between 7 and 30.")
	}
	if _, err := r.changeKey(in, (*Store).schedule); err != nil {
		return nil, err
	}
	k, _ := r.store.findKey(in.KeyId)
	k.deletion = r.server.now().AddDate(0, 0, days)
	return map[string]any{"KeyId": k.arn, "DeletionDate": seconds(k.deletion), "KeyState": "PendingDeletion",
		"PendingWindowInDays": days}, nil
}
