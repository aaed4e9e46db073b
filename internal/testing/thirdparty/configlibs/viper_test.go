package configlibs

import (
	"context"
	"fmt"

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/viper"
)

func withViper(_ context.Context, m map[string]string, into any) error {
	v := viper.New()
	if err := v.MergeConfigMap(anyMap(m)); err != nil {
		return err
	}
	return v.Unmarshal(into, viper.DecodeHook(mapstructure.TextUnmarshallerHookFunc()))
}

// Viper needs the hook: without it, a field of type secrets.Value is an error. v.AllSettings and
// v.Debug show the plaintexts.
func Example_viper() {
	all, err := exampleEnv(exampleTB{}).RevealAll(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	v := viper.New()
	v.MergeConfigMap(anyMap(all))
	var c config
	err = v.Unmarshal(&c, viper.DecodeHook(mapstructure.TextUnmarshallerHookFunc()))
	fmt.Printf("%+v %v\n", c, err)
	// Output: {Stage:prod Password:[REDACTED] Port:[REDACTED]} <nil>
}
