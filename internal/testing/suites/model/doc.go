// Package model judges the cache from outside: scenarios and a random driver use the exported API of
// package secrets only, in testing/synctest bubbles, with a clock whose two sides move apart. It holds
// tests and nothing that ships.
package model
