package git

import (
	"context"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/transport"
)

// azure is a transport for the servers of Azure DevOps among others: they send nothing to a client
// without the capability multi_ack (go-git, _examples/azure_devops). go-git reads such an answer
// only to a request that names nothing that the client has, so these servers send the whole
// history whenever a ref has changed.
type azure struct{ transport.Transport }

// ofAzure is in the path of every repository of Azure DevOps, and of no other forge's.
const ofAzure = "/_git/"

// NewUploadPackSession implements transport.Transport.
func (t azure) NewUploadPackSession(ep *transport.Endpoint, auth transport.AuthMethod) (transport.UploadPackSession, error) {
	s, err := t.Transport.NewUploadPackSession(ep, auth)
	if err == nil && strings.Contains(ep.Path, ofAzure) {
		s = azureSession{s}
	}
	return s, err
}

type azureSession struct{ transport.UploadPackSession }

// UploadPack implements transport.UploadPackSession.
func (s azureSession) UploadPack(ctx context.Context, req *packp.UploadPackRequest) (*packp.UploadPackResponse, error) {
	req.Haves = nil
	if !req.Capabilities.Supports(capability.MultiACKDetailed) {
		if err := req.Capabilities.Set(capability.MultiACK); err != nil {
			return nil, err
		}
	}
	return s.UploadPackSession.UploadPack(ctx, req)
}
