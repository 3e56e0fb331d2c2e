// Package rules holds the words that the rest of quell speaks: secrets,
// locations, findings, credentials, and the providers' files that say how a
// token looks, how its issuer is asked about it and how it is ended.
//
// It depends on nothing else in this module, except rules/token.
package rules
