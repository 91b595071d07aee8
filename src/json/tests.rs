//! Unit tests: text, paths, their cost, and edits against a plain model.

use super::edit::{self, Operation};
use super::*;
use crate::error::Stop;
use crate::limits::JSON_DEPTH_MAX;

fn tree(text: &str) -> Value {
    parse_arg(text.as_bytes()).unwrap()
}

fn text(value: &Value) -> String {
    String::from_utf8(print(value)).unwrap()
}

fn compacted(text: &str) -> String {
    String::from_utf8(compact(text.as_bytes()).unwrap().into_owned()).unwrap()
}

fn refusal<T: std::fmt::Debug>(result: Result<T, Stop>) -> String {
    match result.unwrap_err() {
        Stop::Error(text) => String::from_utf8(text.into_owned()).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn found(document: &str, path: &str) -> String {
    let root = tree(document);
    let path = Path::parse(path.as_bytes()).unwrap();
    let values = Search::new(&root).find(&path).unwrap();
    text(&Value::Array(values.into_iter().cloned().collect()))
}

#[test]
fn compact_text_is_used_as_it_is() {
    let text = r#"{"a":[1,-2.50,1E5,"x y","é"],"b":{"":null},"c":true,"d":[],"e":{}}"#;
    assert!(matches!(compact(text.as_bytes()).unwrap(), Cow::Borrowed(_)));
    assert!(matches!(compact(b"\"a b\"").unwrap(), Cow::Borrowed(_)));
    assert!(matches!(compact(b"-0").unwrap(), Cow::Borrowed(_)));
    assert_eq!(compacted(" {\"a\" :\t[ 1 ,2\r]\n, \"b\":\" \" } "), r#"{"a":[1,2],"b":" "}"#);
    assert_eq!(compacted("1 "), "1");
    assert_eq!(compacted("\n\"a\""), "\"a\"");
    assert_eq!(compacted(r#""\u0041\/\u00e9\b\u000b\ud83d\ude00\"""#), "\"A/é\\b\\u000b😀\\\"\"");
    assert_eq!(compacted(r#"[1.10,"\"1.5",-1e-9,{"\"7":8}]"#), r#"[1.10,"\"1.5",-1e-9,{"\"7":8}]"#);
}

#[test]
fn of_repeated_names_the_last_counts_where_the_first_was() {
    assert_eq!(compacted(r#"{"a":1,"b":2,"a":3}"#), r#"{"a":3,"b":2}"#);
    assert_eq!(compacted(r#"[{"x":{"a":1,"\u0061":2}}]"#), r#"[{"x":{"a":2}}]"#);
    let many: Vec<String> = (0..1000).map(|number| format!("\"n{number}\":{number}")).collect();
    let unique = format!("{{{}}}", many.join(","));
    assert_eq!(compacted(&unique), unique);
    let repeated = format!("{{{},\"n500\":[]}}", many.join(","));
    assert_eq!(compacted(&repeated), unique.replace("\"n500\":500", "\"n500\":[]"));
    assert_eq!(text(&tree(&repeated)), compacted(&repeated));
}

#[test]
fn numbers_keep_their_text() {
    let numbers = "[0,-0,-0.0,1.0,1.10,1e5,1E5,1e+05,9007199254740993,18446744073709551616,1e-999]";
    assert_eq!(compacted(numbers), numbers);
    assert_eq!(text(&tree(numbers)), numbers);
    assert_eq!(text(&tree(&numbers.replace(',', " , "))), numbers);
}

#[test]
fn hostile_text_is_refused_without_recursion() {
    for depth in [JSON_DEPTH_MAX, JSON_DEPTH_MAX + 1, 5_000_000] {
        let text = format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(compact(text.as_bytes()).is_ok(), depth <= JSON_DEPTH_MAX);
        assert_eq!(parse_arg(text.as_bytes()).is_ok(), depth <= JSON_DEPTH_MAX);
    }
    let deep = "ERR invalid JSON: it nests deeper than 128 levels";
    assert_eq!(refusal(compact("[".repeat(1_000_000).as_bytes())), deep);
    assert_eq!(refusal(compact("{\"a\":".repeat(1_000_000).as_bytes())), deep);
    assert_eq!(refusal(stored(b"\xff")), "ERR the string at this key is not JSON: it is not UTF-8");
    for text in ["", "[", "]", "{\"a\"", "\"", "nul", "01", "1.", "-", "1e999", "[1,]", "{,}", "\0"]
    {
        assert!(compact(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn cut_and_flipped_text_never_panics() {
    let text = br#"{"a":[1,-2.5e3,"x\u00e9\n\ud83d\ude00"],"b":{"c":null,"d":[true,false,{}]}}"#;
    for cut in 0..text.len() {
        let _ = (compact(&text[..cut]), parse_arg(&text[cut..]));
    }
    for at in 0..text.len() {
        for byte in 0..=255 {
            let mut changed = text.to_vec();
            changed[at] = byte;
            let compacted = compact(&changed).ok().map(Cow::into_owned);
            let value = parse_arg(&changed).ok();
            assert_eq!(compacted, value.as_ref().map(print), "byte {at} is {byte}");
        }
    }
}

#[test]
fn what_was_checked_is_known() {
    let text = br#"{"known":[1,2,3]}"#;
    assert!(!known::is_known(text));
    assert!(matches!(stored(text).unwrap(), Cow::Borrowed(_)));
    assert!(known::is_known(text));
    let spaced = br#"{"known": [1, 2, 3]}"#;
    assert_eq!(stored(spaced).unwrap(), text.as_slice());
    assert!(!known::is_known(spaced));
    assert!(stored(b"{").is_err() && !known::is_known(b"{"));
}

#[test]
fn paths_have_two_notations() {
    let notation = |path: &'static str| {
        let path = Path::parse(path.as_bytes()).unwrap();
        (path.text().to_owned(), path.is_legacy(), path.is_root())
    };
    assert_eq!(notation("$"), ("$".into(), false, true));
    assert_eq!(notation("."), ("$".into(), true, true));
    assert_eq!(notation(".a"), ("$.a".into(), true, false));
    assert_eq!(notation("a[0].b"), ("$.a[0].b".into(), true, false));
    assert_eq!(notation("$a"), ("$.$a".into(), true, false));
    assert_eq!(notation("$[0]"), ("$[0]".into(), false, false));
    let document = r#"{"a":{"x-y":[1,{"7up":2}]},"..":3,"[?(":4,"q'\"":5}"#;
    assert_eq!(found(document, "$.a.x-y[1].7up"), "[2]");
    assert_eq!(found(document, "$['..','[?(']"), "[3,4]");
    assert_eq!(found(document, r#"$["q'\""]"#), "[5]");
    assert_eq!(found(document, r#"$..["7up",'q\'"']"#), "[5,2]");
    assert_eq!(found(document, "$.a.['x-y'].[-2]"), "[1]");
    assert_eq!(found(document, "$[?@.x-y]"), r#"[{"x-y":[1,{"7up":2}]}]"#);
}

#[test]
fn cut_and_flipped_paths_never_panic() {
    let root = tree(r#"{"a":[1,{"b":"x"},[null,2.5]],"b":{"a":{"b":[]}}}"#);
    let paths = [
        r#"$..a[?@.b=='x' && !(@['a'] || count($.*)>1)]..*"#,
        r#"a.b[-1:0:-2]["\u00e9\ud83d\ude00",'\'']"#,
        r#"$ [1] . [*, 0 ,?match(@,"[ab]+")||@=~'é'].-x"#,
    ];
    let flips: &[u8] = b"$@.[]()?*:,'\"\\u=~!&|<>-0 a\x00\x7f\xc3";
    for path in paths.map(str::as_bytes) {
        for at in 0..path.len() {
            let changed =
                flips.iter().map(|&byte| [&path[..at], &[byte], &path[at + 1..]].concat());
            let inserted = flips.iter().map(|&byte| [&path[..at], &[byte], &path[at..]].concat());
            let cut = [path[..at].to_vec(), path[at..].to_vec()];
            for path in changed.chain(inserted).chain(cut) {
                let Ok(path) = Path::parse(&path) else { continue };
                let places = Search::new(&root).places(&path).unwrap();
                let mut copy = root.clone();
                let values = Search::new(&root).find(&path).unwrap();
                let reached =
                    places.iter().map(|place| edit::at(&mut copy, place).unwrap().clone());
                assert_eq!(
                    reached.collect::<Vec<_>>(),
                    values.into_iter().cloned().collect::<Vec<_>>()
                );
            }
        }
    }
}

#[test]
fn few_fixed_paths_need_no_tree() {
    let text =
        br#" {"a":1,"b":[1.50,{"c":[2,-3]},"x",true,4e1],"":{"b":"1"},"a":[null,5.0,{"d":6}]} "#;
    let root = parse(text).unwrap();
    let given =
        ["$", "$.a", "$.a[2].d", "$.b[1].c[-1]", "$.b[4]", "$.b[-5]", "$['']['b']", "$.b[3]"];
    let nowhere =
        ["$.b[5]", "$.b[-6]", "$.x", "$.b.c", "$[0]", "$.a[2][0]", "$.b[0][0]", "$.b[0].c"];
    for list in [given, nowhere] {
        let paths: Vec<Path<'_>> =
            list.iter().map(|path| Path::parse(path.as_bytes()).unwrap()).collect();
        let values = look_up(text, &paths, |lists| {
            Ok(lists.iter().map(|list| list.first().copied().cloned()).collect::<Vec<_>>())
        });
        let expected = paths
            .iter()
            .map(|path| Search::new(&root).find(path).unwrap().first().copied().cloned());
        assert_eq!(values.unwrap(), expected.collect::<Vec<_>>());
    }
}

#[test]
fn places_can_be_changed_in_turn() {
    let mut root = tree(r#"{"a":[[1,2],[3]],"b":{"a":[4,5]}}"#);
    let places = |root: &Value, path: &str| {
        Search::new(root).places(&Path::parse(path.as_bytes()).unwrap()).unwrap()
    };
    let all = places(&root, "$..a");
    assert_eq!(all.len(), 2);
    let outermost = edit::outermost(places(&root, "$..*"));
    assert_eq!(outermost, [vec![Step::Name("b".into())], vec![Step::Name("a".into())]]);
    let twice = edit::outermost(places(&root, "$.a[1,0,1]"));
    assert_eq!(twice.len(), 2);
    assert_eq!(edit::remove_all(&mut root, &twice), 2);
    assert_eq!(text(&root), r#"{"a":[],"b":{"a":[4,5]}}"#);
    let ends = edit::outermost(places(&root, "$..a[0]"));
    assert_eq!(edit::remove_all(&mut root, &ends), 1);
    assert_eq!(text(&root), r#"{"a":[],"b":{"a":[5]}}"#);
}

#[test]
fn arithmetic_keeps_integers_integers() {
    let calculate = |left: &str, operation, right: &str| {
        let (Value::Number(left), Value::Number(right)) = (tree(left), tree(right)) else {
            panic!("not numbers");
        };
        edit::calculate(&left, operation, &right).map(|number| number.as_str().to_owned())
    };
    assert_eq!(calculate("9007199254740993", Operation::Add, "1").unwrap(), "9007199254740994");
    assert_eq!(calculate("-0", Operation::Add, "0").unwrap(), "0");
    assert_eq!(calculate("3", Operation::Multiply, "-4").unwrap(), "-12");
    assert_eq!(calculate("3", Operation::Multiply, "0.5").unwrap(), "1.5");
    assert_eq!(calculate("1.5", Operation::Add, "1.5").unwrap(), "3.0");
    assert_eq!(
        calculate("9223372036854775808", Operation::Add, "-1").unwrap(),
        "9223372036854775807"
    );
    for (left, right) in [("18446744073709551615", "1"), ("99999999999999999999", "1")] {
        assert_eq!(refusal(calculate(left, Operation::Add, right)), "ERR numeric overflow");
    }
    let infinite = calculate("1e308", Operation::Multiply, "1e308");
    assert_eq!(refusal(infinite), "ERR result is not a number");
}

/// The appendix of RFC 7396.
#[test]
fn merging_follows_the_rfc() {
    let cases = [
        (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
        (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
        (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
        (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
        (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
        (r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#),
        (r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#),
        (r#"{"a":"foo"}"#, "null", "null"),
        (r#"{"a":"foo"}"#, r#""bar""#, r#""bar""#),
        (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
        ("[1,2]", r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
        ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
    ];
    for (target, patch, merged) in cases {
        let mut value = tree(target);
        edit::merge(&mut value, tree(patch));
        assert_eq!(text(&value), merged, "{target} and {patch}");
    }
}

#[test]
fn costly_paths_are_refused_at_once() {
    let wide = tree(&format!("[{}0]", "0,".repeat(50_000)));
    let deep = tree(&format!("{}{}{}", "[".repeat(120), "0,".repeat(5000) + "0", "]".repeat(120)));
    let looked_up = |root: &Value, path: &str| {
        let path = Path::parse(path.as_bytes()).unwrap();
        Search::new(root).find(&path).map(|values| values.len())
    };
    for path in ["$[?$..*]", "$[?count($.*)>@]", "$..[?@..[?$[*]]]", "$[?match(@,$[0])]"] {
        assert!(looked_up(&wide, path).is_err(), "{path}");
    }
    for path in ["$..*..*..*", "$..[?@..[?@..*]]", "$..[*,*,*]..[*,*,*]..*"] {
        assert!(looked_up(&deep, path).is_err(), "{path}");
    }
    let many = Path::parse(b"$[*]").unwrap();
    let mut search = Search::new(&wide);
    assert!((0..200).any(|_| search.find(&many).is_err()));
    assert_eq!(looked_up(&wide, "$..*").unwrap(), 50_001);
    assert_eq!(looked_up(&wide, "$[?@==$[0]]").unwrap(), 50_001);
    assert_eq!(looked_up(&wide, "$[?@>0 || @<0]").unwrap(), 0);
    assert_eq!(looked_up(&deep, "$..[5000]").unwrap(), 1);
}

#[test]
fn regular_expressions_are_bounded() {
    let document = r#"["abc","a\nc","b",1,null]"#;
    assert_eq!(found(document, "$[?match(@,'a.c')]"), r#"["abc"]"#);
    assert_eq!(found(document, "$[?search(@,'b')]"), r#"["abc","b"]"#);
    assert_eq!(found(document, "$[?@ =~ 'B' || @=~\"(?i)B$\"]"), r#"["b"]"#);
    assert_eq!(found(document, "$[?search(@,@)]"), r#"["abc","a\nc","b"]"#);
    assert_eq!(found(document, "$[?match(@,'(')]"), "[]");
    assert_eq!(found(document, "$[?search(@,'(.{1000}){1000}|b')]"), "[]");
    let long = format!("[\"{}\"]", "a".repeat(100_000));
    assert_eq!(found(&long, "$[?search(@,'a')]"), "[]");
}

#[test]
fn layouts_are_followed_and_bounded() {
    let value = tree(r#"{"a":[1,{}],"b":[]}"#);
    let format = Format { indent: b"\t", newline: b"\n", space: b" " };
    let mut out = Vec::new();
    pretty(&value, &format, 0, 1000, &mut out).unwrap();
    assert_eq!(out, b"{\n\t\"a\": [\n\t\t1,\n\t\t{}\n\t],\n\t\"b\": []\n}");
    out.clear();
    assert_eq!(pretty(&value, &format, 0, 10, &mut out), Err(Stop::Unread));
}

/// The compliance suite of RFC 9535, if `RINGSTONE_TEST_JSONPATH` names its `cts.json`.
#[test]
fn the_compliance_suite_passes() {
    let Some(file) = std::env::var_os("RINGSTONE_TEST_JSONPATH") else { return };
    let suite = tree(&std::fs::read_to_string(file).unwrap());
    let (mut passed, mut accepted, mut wrong) = (0, Vec::new(), Vec::new());
    for case in suite["tests"].as_array().unwrap() {
        let selector = case["selector"].as_str().unwrap();
        let path = Path::parse(selector.as_bytes()).ok().filter(|path| !path.is_legacy());
        let Some(path) = path else {
            if case["invalid_selector"] == Value::Bool(true) {
                passed += 1;
            } else {
                wrong.push(selector);
            }
            continue;
        };
        if case["invalid_selector"] == Value::Bool(true) {
            accepted.push(selector);
            continue;
        }
        let values = Search::new(&case["document"]).find(&path).unwrap();
        let values = Value::Array(values.into_iter().cloned().collect());
        let is_right = match case.get("result") {
            Some(result) => *result == values,
            None => case["results"].as_array().unwrap().contains(&values),
        };
        if is_right { passed += 1 } else { wrong.push(selector) }
    }
    println!("{passed} passed; accepted though invalid: {accepted:#?}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}
