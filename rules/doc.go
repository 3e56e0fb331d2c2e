// Package rules has the detection rules and the providers' files, which describe the form of a
// token, the request that determines whether it is live, and the request that revokes it.
//
// Of this module it imports only rules/credential and rules/token.
package rules
