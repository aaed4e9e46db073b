package iam

// Operation describes one read operation, to hold SECURITY.md and Needs to. Its Action is
// also its name in this module: "ssm:GetParameters".
type Operation struct {
	Action   string // IAM action; service prefix, colon, operation
	Target   string // X-Amz-Target on the wire
	Resource string // resource form for a policy, placeholders in capitals
	Event    string // CloudTrail event name
	Source   string // CloudTrail event source
	Recorded string // what of it CloudTrail records; "" when nothing does
	Hint     string // what people get wrong
}

// The operations this module calls, in the order of its schemes. All are CloudTrail
// management events of kind read.
var operations = []Operation{
	{
		Action: "kms:Decrypt", Target: "TrentService.Decrypt",
		Resource: "arn:PARTITION:kms:REGION:ACCOUNT:key/KEY-ID",
		Event:    "Decrypt", Source: "kms.amazonaws.com",
		Recorded: "every call, the encryption context in plain text",
		Hint: "name the key, not an alias: an alias ARN as Resource grants nothing; the key " +
			"policy must allow it too",
	},
	{
		Action: "ssm:GetParameter", Target: "AmazonSSM.GetParameter",
		Resource: "arn:PARTITION:ssm:REGION:ACCOUNT:parameter/NAME",
		Event:    "GetParameter", Source: "ssm.amazonaws.com",
		Recorded: "every call but those that end in ParameterNotFound",
		Hint:     "ssm:GetParameters does not include it",
	},
	{
		Action: "ssm:GetParameters", Target: "AmazonSSM.GetParameters",
		Resource: "arn:PARTITION:ssm:REGION:ACCOUNT:parameter/NAME",
		Event:    "GetParameters", Source: "ssm.amazonaws.com", Recorded: "every call",
		Hint: "one name that is denied denies the whole call; ssm:GetParameter does not " +
			"include it",
	},
	{
		Action: "ssm:GetParametersByPath", Target: "AmazonSSM.GetParametersByPath",
		Resource: "arn:PARTITION:ssm:REGION:ACCOUNT:parameter/PATH/*",
		Event:    "GetParametersByPath", Source: "ssm.amazonaws.com", Recorded: "every call",
		Hint: "checked once, on the path as sent; what stands below it is not checked again",
	},
	{
		Action: "secretsmanager:GetSecretValue", Target: "secretsmanager.GetSecretValue",
		Resource: "arn:PARTITION:secretsmanager:REGION:ACCOUNT:secret:NAME-??????",
		Event:    "GetSecretValue", Source: "secretsmanager.amazonaws.com",
		Recorded: "every call",
		Hint: "end the name in -??????, never in -*, which would cover every name that " +
			"begins alike",
	},
	{
		Action: "secretsmanager:BatchGetSecretValue", Target: "secretsmanager.BatchGetSecretValue",
		Resource: "*",
		Event:    "GetSecretValue", Source: "secretsmanager.amazonaws.com",
		Recorded: "one event per secret",
		Hint: `takes no resource, so only Resource "*" grants it; ` +
			"secretsmanager:GetSecretValue is needed per secret besides",
	},
}

// All returns the operations. The slice is the caller's.
func All() []Operation { return append([]Operation(nil), operations...) }

// Lookup finds an operation by its action.
func Lookup(action string) (Operation, bool) {
	for _, op := range operations {
		if op.Action == action {
			return op, true
		}
	}
	return Operation{}, false
}
