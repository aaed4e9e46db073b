package configlibs

import (
	"context"
	"fmt"

	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/v2"
)

func withKoanf(_ context.Context, m map[string]string, into any) error {
	k := koanf.New(".")
	if err := k.Load(confmap.Provider(anyMap(m), ""), nil); err != nil {
		return err
	}
	return k.Unmarshal("", into)
}

// k.Print, k.Sprint and k.All show what was loaded: koanf holds the plaintexts as strings. So load
// them into a koanf of their own, and let it go.
func Example_koanf() {
	all, err := exampleEnv(exampleTB{}).RevealAll(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	k := koanf.New(".")
	k.Load(confmap.Provider(anyMap(all), ""), nil)
	var c config
	err = k.Unmarshal("", &c)
	fmt.Printf("%+v %v\n", c, err)
	// Output: {Stage:prod Password:[REDACTED] Port:[REDACTED]} <nil>
}
