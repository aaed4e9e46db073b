package secretsql

import "reflect"

// The numbers under which MySQL and MariaDB refuse a login: ER_ACCESS_DENIED_ERROR, and
// ER_ACCESS_DENIED_NO_PASSWORD_ERROR of accounts that log in without a password.
const (
	accessDenied           = 1045
	accessDeniedNoPassword = 1698
)

// Refused reports whether err, or an error that it wraps, says that a database did not accept the
// user or the password:
//
//   - SQLSTATE 28P01 (invalid_password) or 28000 (invalid_authorization_specification), from a
//     method SQLState() string, which the errors of pgx and lib/pq have;
//   - MySQL's 1045 or 1698, from a struct's field Number of type uint16, which the errors of
//     github.com/go-sql-driver/mysql have. The field is read by reflection, so that this package
//     needs no driver.
//
// Connector asks it by itself. Give it to [secrets.WithRejected] where Env.Do or Derive is used
// with these databases. Refused(nil) is false.
func Refused(err error) bool {
	if err == nil {
		return false
	}
	if refusedByState(err) || refusedByNumber(err) {
		return true
	}
	// errors.As would stop at the first error that has a state. A driver that tried several hosts
	// joins their errors, and any of them may be the refusal.
	switch err := err.(type) {
	case interface{ Unwrap() error }:
		return Refused(err.Unwrap())
	case interface{ Unwrap() []error }:
		for _, each := range err.Unwrap() {
			if Refused(each) {
				return true
			}
		}
	}
	return false
}

func refusedByState(err error) bool {
	s, ok := err.(interface{ SQLState() string })
	if !ok || isNil(err) {
		return false
	}
	state := s.SQLState()
	return state == "28P01" || state == "28000"
}

func refusedByNumber(err error) bool {
	v := reflect.ValueOf(err)
	if v.Kind() == reflect.Pointer {
		v = v.Elem() // the zero reflect.Value for a nil pointer
	}
	if v.Kind() != reflect.Struct {
		return false
	}
	// A field of an embedded pointer, which may be nil, does not count.
	field, ok := v.Type().FieldByName("Number")
	if !ok || len(field.Index) != 1 || field.Type.Kind() != reflect.Uint16 {
		return false
	}
	number := v.FieldByIndex(field.Index).Uint()
	return number == accessDenied || number == accessDeniedNoPassword
}

// isNil reports whether err is a nil pointer, whose methods may panic.
func isNil(err error) bool {
	v := reflect.ValueOf(err)
	return v.Kind() == reflect.Pointer && v.IsNil()
}
