// Package configlibs holds, in its tests, how package secrets fills the structs of configuration
// libraries: go-envconfig, caarlos0/env, kelseyhightower/envconfig, koanf and viper, each the real
// one. The library imports none of them; this module does.
//
// Three things hold for all of them.
//
//   - A struct is filled once. A field that must follow rotation is not a string, nor a
//     [secrets.Value]: keep the Env beside the configuration and ask [secrets.Env.Get] for it on
//     each use, or put a func(context.Context) (secrets.Value, error) into the struct.
//   - A field of type [secrets.Value] stays redacted in every log, and refuses a reference that was
//     not resolved. A string does neither.
//   - A field of type int, bool or time.Duration shows the plaintext in the error of a bad value,
//     because strconv quotes it; koanf and viper leave it out. Declare it as [secrets.Value] and
//     parse it yourself, as parsePort in these tests does.
package configlibs
