//go:build goexperiment.runtimesecret

package memory

const most = 2
