package rules

import (
	"slices"
	"strings"
	"sync"
)

// noiseCookies are cookies that are set and look like sessions, but let nobody
// in: by name, with * for any part of one, in any case.
var noiseCookies = []struct{ what, names string }{
	{"against forged requests", `csrftoken XSRF-TOKEN _csrf _xsrf *csrf *csrf_token *csrf-token *xsrf* __RequestVerificationToken* __AntiXsrfToken
		.AspNetCore.Antiforgery.* *antiforgery* _gorilla_csrf splunkweb_csrf_token_* hubspotapi-csrf atl_token ct0 NX-ANTI-CSRF-TOKEN
		form_key mage-cache-* MMCSRF idccsrf saml_csrf_token crumb *anticsrf* csrf* xsrf*`},
	{"the signature beside another cookie", "*.sig"},
	{"while somebody signs in", `*oauthstate* *oauth_state* *_csrf_* auth_verification nonce.* .AspNetCore.Correlation.* .AspNetCore.OpenIdConnect.Nonce.*
		OpenIdConnect.nonce.* AUTH_SESSION_ID AUTH_SESSION_ID_LEGACY KC_RESTART SVPNTMPCOOKIE DSSIGNIN did _saml_* *pkce* *code_verifier *code-verifier *-callback-url *.callback-url`},
	{"of a load balancer", `AWSALB AWSALBCORS AWSALBAPP* AWSALBTG* AWSELB AWSELBCORS ARRAffinity* ApplicationGatewayAffinity* BIGipServer* TS01* SERVERID SRVID route
		INGRESSCOOKIE GCLB GAESA __cflb NSC_*vsrv* citrix_ns_id X-Mapping-* sticky* force-stream glide_user_route *_route`},
	{"against bots", `__cf_bm _cfuvid cf_clearance __cfruid cf_chl_* _abck bm_sz bm_sv bm_mi ak_bmsc visid_incap_* incap_ses_* nlbi_* datadome _px* reese84
		aws-waf-token __stripe_mid __stripe_sid`},
	{"of analytics, advertisements and consent", `_ga _ga_* _gid _gat* _gcl_* _fbp _fbc __utm* _hj* ai_session ai_user ai_authUser _dd_s _dd_sid amplitude_* AMP_* ajs_* mp_*
		_pk_* _parsely_* optimizely* _clck _clsk CLID hubspotutk __hs* intercom-* OptanonConsent OptanonAlertBoxClosed CookieConsent* euconsent* didomi_token s_cc s_fid s_sq
		s_vi noflush_* aws-csds-token BrowserId* _octo _device_id tz guest_id* personalization_id _splunk_rum_sid fpc buid esctx* x-ms-gateway-slice stsservicecookie
		NID AEC CONSENT SOCS 1P_JAR IDE MUID MUIDB _uetsid _uetvid _rdt_uuid _tt_* _ttp _pin_unauth _scid _sctr _shopify_s _shopify_y ab.storage.sessionId.*
		ab.storage.deviceId.* rl_* rudder_* ph_*_posthog __kla_id _vwo_* _vis_opt_* wisepops* drift_* driftt_* fs_uid _fs_* _lr_* _rollupGA* lo_session lo_uid mkjs_* _mkto_trk
		newrelic* NREUM NRBA_SESSION _sp_id* _sp_ses* snowplow* sessioncam* sentry-* sentryReplaySession *rum_sid* rum_session* BVBRANDSID BVImpl* tk_* _wp_session_analytics
		_gaexp* _dc_gtm_* __gads __gpi __qca __adroll* test_cookie uid_ad*`},
	{"of a page, a reader of text or a contract", `*page_token *pagetoken *page-token *nexttoken *next_token *continuation_token *continuationtoken *cancellation_token
		*cancellationtoken *continuation-token *next-token *resume_token *resumetoken *sync_token *synctoken *verification_token *verificationtoken *design_token *lexer_token *syntax_token *special_token *contract_token`},
	{"that makes a call repeatable, or names a lock or a version", `*idempoten* *requesttoken *request_token *request-token clienttoken client-token creatorrequestid *changetoken *change_token
		*change-token *locktoken *lock_token *lock-token *leasetoken *lease_token *lease-token`},
	{"against forged requests, in a form", `*authenticity_token *authenticitytoken *requestverificationtoken *form_token *formtoken *forgery_token *forgerytoken`},
	{"used once, or to find a cache", "*nonce *cache_key *cachekey *cache-key"},
	{"of an assembly's public key", "*publickeytoken *public_key_token"},
	{"a flag or a setting", `logged_in dotcom_user *_expiry __client_uat* wordpress_test_cookie wp-settings-* _zendesk_authenticated auth0.is.authenticated KEYCLOAK_REMEMBER_ME
		joomla_user_state DSFirstAccess DSLastAccess LastMRH_Session webvpnc webvpncontext oc_cookie* hasSession has_session sessionExists session_timeout* session_expir*
		*session_start* *sessionstart* *session_count* *tokenexpir* *token_expir* token_type *_login_url *redirect*`},
}

// glob is a name with * in it, cut at them.
type glob []string

func (g glob) match(s string) bool {
	if !strings.HasPrefix(s, g[0]) {
		return false
	}
	s = s[len(g[0]):]
	for _, part := range g[1 : len(g)-1] {
		_, after, ok := strings.Cut(s, part)
		if !ok {
			return false
		}
		s = after
	}
	return strings.HasSuffix(s, g[len(g)-1])
}

type noiseNames struct {
	exact map[string]bool
	globs []glob
}

var noise = sync.OnceValue(func() noiseNames {
	n := noiseNames{exact: map[string]bool{}}
	for _, name := range NoiseCookies() {
		name = strings.ToLower(name)
		if strings.Contains(name, "*") {
			n.globs = append(n.globs, strings.Split(name, "*"))
		} else {
			n.exact[name] = true
		}
	}
	return n
})

// NoiseCookie reports whether a cookie of this name lets nobody in, whatever
// its value looks like.
func NoiseCookie(name string) bool {
	name = strings.ToLower(name)
	name = strings.TrimPrefix(strings.TrimPrefix(name, "__host-"), "__secure-")
	n := noise()
	return n.exact[name] || slices.ContainsFunc(n.globs, func(g glob) bool { return g.match(name) })
}

// NoiseCookies lists the names that NoiseCookie knows, with * for any part.
func NoiseCookies() []string {
	var out []string
	for _, n := range noiseCookies {
		out = append(out, strings.Fields(n.names)...)
	}
	return out
}
