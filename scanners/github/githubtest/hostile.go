package githubtest

// Hostile is text that people put into branch names, file names, commit messages and logs so
// that it is taken for a command of the runner, for markup, or for shell code. Each contains
// the word evil, so that it is recognised where it must not appear.
func Hostile() []string {
	return []string{
		"::error::evil", "::set-output name=live::evil", "::add-mask::evil", "::stop-commands::evil", "\n::error::evil", "\r\n::warning file=a::evil", "  ::notice::evil", "\t::debug::evil",
		"a\n::set-env name=PATH::evil", "##[error]evil", "##[set-env name=PATH;]evil", "x ##[command]evil", "##[add-path]evil", "a,line=1::evil", "a:b,title=evil::c", "%0A::error::evil", "%250A::error::evil", "a%0D%0Aevil",
		"<script>evil()</script>", "<img src=x onerror=evil()>", "<a href=\"javascript:evil()\">x</a>", "</code></td></tr></table><h1>evil</h1>", "<!-- evil", "--> evil", "<details open>evil", "&lt;b&gt;evil&#60;", "<style>*{evil}</style>",
		"`evil`", "``evil", "`<b>evil</b>`", "evil` <b>x</b> `", "| evil | x |", "a|b|evil", "\\| evil", "\\`evil\\`", "[evil](https://evil.example)", "![evil](https://evil.example/x.png)", "https://evil.example/evil", "www.evil.example", "evil@evil.example",
		"@evil", "#1 evil", "GH-1 evil", "**evil**", "__evil__", "~~evil~~", "# evil", "\n# evil\n", "- [ ] evil", "> evil", "$(evil)", "`$(evil)`", "${{ github.token }}evil", "evil;rm -rf /", "evil && id", "'evil'\"", "\x1b[31mevil\x1b[0m", "\x1b]8;;https://evil.example\x07evil", "\u202eevil", "evil\u200b", "evil\x00", "evil\xff", "\u2028::error::evil", "evil\u0085::error::x",
		"]evil(", ")evil(x", "../../evil", "/etc/evil", "a\tb evil", "evil ", " evil", "<evil", "evil<br>x", "~evil~", "evil\\", "%60evil", "https:evil", "<https://evil.example>", "\u00a0::error::evil", "$evil$", "$$evil$$", ":evil:", "```\nevil\n```", "\n\n<h1>evil</h1>\n\n", "evil\r::error::x", "mailto:evil@x.example",
	}
}
