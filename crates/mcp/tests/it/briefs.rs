//! What a chat is told costs few tokens, whatever its jobs are called, counted by a public vocabulary.

use longshore_domain::{Conversation, Job, Principal, When};
use longshore_engine::ops::{Briefing, Caller, Submit, TOKENS_MAX, WaitFor};
use longshore_mcp::Hello;
use serde_json::json;

use crate::beside;
use crate::kit::{Client, Kit, LIMIT};
use crate::tokens::count;

/// As jobs are called: words, what programs make up, the scripts of today, pictures, and whatever can be typed.
const NAMES: &[&str] = &[
    "true",
    "cargo test --workspace --all-targets --locked --no-fail-fast -- --nocapture",
    "/usr/local/lib/python3.12/site-packages/numpy/core/_multiarray_umath.cpython-312-x86_64-linux-gnu.so",
    "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "j_01wpjefj6s57hn3kwwpjrtpbf6crt1s12j11 550e8400-e29b-41d4-a716-446655440000",
    "SGVsbG8sIHdvcmxkISBUaGlzIGlzIG5vdCBhIHNlY3JldC4gUmVhbGx5Lg==",
    r#"sh -c 'for f in *.c; do [ -n "$f" ] && cc -O2 -Wall "$f" -o "${f%.c}" || exit 1; done' 2>&1 | tee "l.txt""#,
    "!!??##%%&&((//))==**++~~^^<<>>||{{}}[[]]@@$$;;::,,..",
    "2026-11-30T11:10:18.123456789Z 192.168.100.200:65535 0xDEADBEEF 1234567890123456789",
    "Überprüfung sämtlicher Größenänderungen und Übermittlung der Prüfergebnisse",
    "Zażółć gęślą jaźń, sprawdź żądania i wyślij łącznie wszystkie wyniki",
    "Ağrılı çığlıkların ışığında şüpheli öğütücü güncellemesi yapılıyor",
    "Kiểm tra tất cả các liên kết và gửi kết quả hằng ngày cho nhóm phát triển",
    "Ежедневная сборка проекта и проверка всех внешних ссылок документации",
    "Έλεγχος όλων των συνδέσμων και αποστολή των αποτελεσμάτων στην ομάδα",
    "בדיקה יומית של כל הקישורים ושליחת התוצאות לצוות הפיתוח",
    "بناء المشروع والتحقق من جميع الروابط وإرسال النتائج إلى الفريق يوميا",
    "परियोजना बनाएं, सभी लिंक जांचें और टीम को परिणाम भेजें",
    "প্রকল্প তৈরি করুন এবং সমস্ত লিঙ্ক পরীক্ষা করুন",
    "திட்டத்தை உருவாக்கி அனைத்து இணைப்புகளையும் சரிபார்க்கவும்",
    "สร้างโครงการและตรวจสอบลิงก์ทั้งหมดแล้วส่งผลลัพธ์ให้ทีมทุกวัน",
    "პროექტის აწყობა და ყველა ბმულის ყოველდღიური შემოწმება",
    "በየቀኑ ፕሮጀክቱን ይገንቡ እና ሁሉንም አገናኞች ያረጋግጡ",
    "សាងសង់គម្រោង ហើយពិនិត្យមើលតំណភ្ជាប់ទាំងអស់រៀងរាល់ថ្ងៃ",
    "每日构建项目并检查文档中的所有外部链接是否仍然有效然后将结果发送给开发团队",
    "每日建構專案並檢查文件中的所有外部連結是否仍然有效然後將結果傳送給開發團隊",
    "プロジェクトを毎日ビルドしてすべてのリンクを確認し結果をチームに送信する",
    "매일 프로젝트를 빌드하고 모든 링크를 확인한 다음 결과를 개발팀에 보냅니다",
    "👨‍👩‍👧‍👦 🏳️‍🌈 👩🏽‍🚀 🇩🇪🇫🇷🇯🇵 🎉🚀🔥💥 🧑‍💻 🫠🪿 ✅❌⚠️",
    "𝕭𝖚𝖎𝖑𝖉 𝓉𝒽ℯ 𝔴𝔬𝔯𝔩𝔡 ▓▒░ ┌─┐ ➜ ✗ ★ ☃ ♞",
    "𐌰𐌱𐌲𐌳𐌴 𓀀𓁐𓃰 ᏣᎳᎩ ꦲꦏ",
    // In no order of any language.
    "euclqbn ccbhsbb jesrdlr stpyolh wcqkjdf envykts ciwbujv altp",
    "GeMpFmerwlhCEVAsIaNteOmmPbCODtDSRLCTelpDopcDxpQGeYuWqfyRuTZM",
    "glapgolhhggtpzvmpncoxxfasztveazqngijyiexoqrqotyfprkzrhiyqryo",
    "TWOQ WRON MKVN GZYW EEHM FFQK GKXA ROMQ QDDI BINM RWCB NIUZ ",
    "墸嚇嶓佺铊灉厇専澅支痯釺猝踂炠偓劺停迒浲定赜軛榋秝齧臍哶俓鸎蔢唗绀骤玂裏截蜐澱砚",
    "뮥뿏싒갑쑬쩠찭믢뇐놾양씶뼭푌녨형샟떐페껍챚춅텡녲꺭퓆늶죣퐭퐔쭐갶끼혱쩓냃묆뫄쮜냩",
    "дЩТаСэюМ юдыПзьеЙ вЪЙТогоя тФюуТмик йтЩептЙц ЖНдЯч",
    "ìûùåúè ÿèþõóð ïþçêíî õûìåõô ÷ìúúøõ ÿ÷íñøü óèûÿäý ï",
    "חהתئאחפةقبגقלدאؾصןסאيؤזيئدظןצػغאفזححמטاوחػףלזףםצוؽ",
];

/// A chat with jobs of that name, in every way that jobs stand.
async fn told_of(kit: &Kit, caller: &Caller, name: &str) {
    let name: String = name
        .chars()
        .scan(0, |sum, c| {
            *sum += c.len_utf8();
            (*sum <= 200).then_some(c)
        })
        .collect();
    let submit = |line: &'static str, not_before: Option<When>| {
        let (command, name, cwd) = (vec![line.into()], Some(name.clone()), kit.path());
        let request = Submit { command, shell: true, name, cwd, not_before, ..Submit::default() };
        async move { kit.engine.submit(caller, request).await.unwrap().job }
    };
    let id = |job: Job| job.id.to_string();
    let ended =
        [id(submit("kill -9 $$", None).await), id(submit("exit 255", None).await), id(submit("true", None).await)];
    kit.engine.wait(caller, &ended, WaitFor::All, LIMIT).await.unwrap();
    for _ in 0..3 {
        submit("sleep 1000", Some(When::In { length: 1000 * LIMIT })).await;
        let running = id(submit("echo 37%; sleep 1000", None).await);
        kit.speaks(&running).await;
    }
    let asks = id(submit("sleep 1000", None).await);
    kit.runs(&asks).await;
    beside::ask(kit, &asks, &[&name, &name]).await;
}

#[tokio::test]
async fn a_chat_is_told_in_few_tokens_whatever_its_jobs_are_called() {
    for name in NAMES {
        let kit = Kit::new().await;
        let caller = Caller { principal: Principal::agent("owner"), conversation: Some(Conversation::new("chat")) };
        told_of(&kit, &caller, name).await;
        let brief = kit.engine.brief(&caller, Briefing { peek: true, ..Briefing::default() }).await.unwrap();
        let mut client = Client::connect(&kit.server, caller.principal.clone());
        client.say(&json!({ "longshore": Hello { conversation: Some("chat".into()), ..kit.hello("b") } })).await;
        client.shake_hands("2025-11-25").await;
        let listed = client.tool("job_list", json!({ "limit": 1 })).await;
        for form in [brief.text(), listed["structuredContent"]["since_last"].to_string()] {
            let cost = count(&form);
            assert!(cost <= TOKENS_MAX, "{cost} tokens: {form}");
        }
        assert!(brief.sections().iter().any(|(_, section)| !section.lines.is_empty()), "{name}");
    }
}
