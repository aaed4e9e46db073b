package leaks_test

const root = "../../../.."
