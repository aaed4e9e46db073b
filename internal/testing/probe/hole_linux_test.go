package main

import (
	"fmt"
	"net"
	"syscall"
	"testing"
	"time"
)

// droppingHole is an address where the packets that ask for a connection are dropped, as in a VPC
// without an endpoint for the service: a listener whose queue is full and stays so.
func droppingHole(t testing.TB) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	sa, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := fmt.Sprintf("127.0.0.1:%d", sa.(*syscall.SockaddrInet4).Port)
	refused := 0
	for range 8 { // the queue takes one connection more than it was asked to
		conn, err := net.DialTimeout("tcp", addr, 200*time.Millisecond)
		if err == nil {
			t.Cleanup(func() { conn.Close() })
		} else if refused++; refused == 2 { // twice: a busy machine may be late once
			return addr
		}
	}
	t.Fatal("the queue of the listener does not fill")
	return ""
}
