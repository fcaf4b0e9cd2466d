"""Texts in many languages, and data, for `estimate_error.py`.

The rates of `_runs/estimates.py` were chosen on other texts.
"""

import json

LANGUAGES = {
    "German": "Bitte prüfen Sie zuerst, ob das Gerät eingeschaltet ist und das grüne Lämpchen leuchtet. Wenn es nicht "
    "leuchtet, ziehen Sie den Stecker, warten Sie zehn Sekunden und stecken ihn wieder ein. Sollte das nicht helfen, "
    "schicken Sie uns ein Foto der Rückseite, auf dem die Seriennummer lesbar ist.",
    "French": "Vérifiez d'abord que l'appareil est allumé et que le voyant vert brille. S'il reste éteint, débranchez "
    "la prise, attendez dix secondes, puis rebranchez-la. Si cela ne suffit pas, envoyez-nous une photo de la face "
    "arrière où le numéro de série est lisible.",
    "Spanish": "Compruebe primero que el aparato está encendido y que brilla la luz verde. Si no brilla, desenchúfelo, "
    "espere diez segundos y vuelva a enchufarlo. Si eso no ayuda, envíenos una foto de la parte trasera en la que se "
    "pueda leer el número de serie.",
    "Polish": "Najpierw proszę sprawdzić, czy urządzenie jest włączone i czy świeci się zielona lampka. Jeśli się nie "
    "świeci, proszę wyjąć wtyczkę, odczekać dziesięć sekund i włożyć ją z powrotem. Jeżeli to nie pomoże, proszę "
    "przysłać nam zdjęcie tylnej ścianki z czytelnym numerem seryjnym.",
    "Turkish": "Önce cihazın açık olduğunu ve yeşil ışığın yandığını kontrol edin. Yanmıyorsa fişi çekin, on saniye "
    "bekleyin ve yeniden takın. Bu işe yaramazsa bize arka yüzün, seri numarasının okunduğu bir fotoğrafını gönderin.",
    "Vietnamese": "Trước hết hãy kiểm tra xem máy đã bật chưa và đèn xanh có sáng không. Nếu đèn không sáng, hãy rút "
    "phích cắm, đợi mười giây rồi cắm lại. Nếu vẫn không được, hãy gửi cho chúng tôi ảnh mặt sau có thể đọc được số "
    "máy.",
    "Russian": "Сначала проверьте, включено ли устройство и горит ли зелёная лампочка. Если она не горит, выньте вилку "
    "из розетки, подождите десять секунд и вставьте её снова. Если это не поможет, пришлите нам фотографию задней "
    "стенки, на которой виден серийный номер.",
    "Greek": "Ελέγξτε πρώτα αν η συσκευή είναι ανοιχτή και αν ανάβει το πράσινο φως. Αν δεν ανάβει, βγάλτε το φις, "
    "περιμένετε δέκα δευτερόλεπτα και βάλτε το ξανά. Αν αυτό δεν βοηθήσει, στείλτε μας μια φωτογραφία της πίσω πλευράς "
    "όπου να διαβάζεται ο αριθμός σειράς.",
    "Arabic": "تأكد أولاً من أن الجهاز يعمل وأن الضوء الأخضر مضاء. إذا لم يكن مضاءً فانزع القابس وانتظر عشر ثوانٍ ثم أعده إلى "
    "مكانه. وإن لم ينفع ذلك فأرسل إلينا صورة للجهة الخلفية يظهر فيها الرقم التسلسلي بوضوح.",
    "Hebrew": "בדקו תחילה שהמכשיר פועל ושהנורה הירוקה דולקת. אם היא אינה דולקת, נתקו את התקע, המתינו עשר שניות וחברו אותו "
    "שוב. אם זה לא עוזר, שלחו אלינו תמונה של הצד האחורי שבה אפשר לקרוא את המספר הסידורי.",
    "Hindi": "पहले जाँच लें कि उपकरण चालू है और हरी बत्ती जल रही है। यदि वह नहीं जल रही, तो प्लग निकालें, दस सेकंड रुकें और फिर से "
    "लगाएँ। यदि इससे भी काम न बने, तो हमें पिछले हिस्से की तस्वीर भेजें जिसमें क्रमांक पढ़ा जा सके।",
    "Thai": "ก่อนอื่นโปรดตรวจสอบว่าเครื่องเปิดอยู่และไฟสีเขียวติด ถ้าไฟไม่ติดให้ถอดปลั๊ก รอสิบวินาทีแล้วเสียบใหม่ หากยังไม่ได้ผล "
    "กรุณาส่งรูปด้านหลังของเครื่องที่อ่านหมายเลขเครื่องได้มาให้เรา",
    "Japanese": "まず、機器の電源が入っていて、緑のランプが点いているかどうかをご確認ください。点いていない場合は、プラグを抜いて"
    "十秒待ってから、もう一度差し込んでください。それでも直らないときは、製造番号が読める背面の写真をお送りください。",
    "Korean": "먼저 기기가 켜져 있고 초록색 불이 들어와 있는지 확인해 주세요. 불이 들어오지 않으면 플러그를 뽑고 십 초를 기다린 다음 다시 "
    "꽂아 주세요. 그래도 되지 않으면 제품 번호가 보이는 뒷면 사진을 보내 주세요.",
    "Finnish": "Tarkista ensin, että laite on päällä ja että vihreä valo palaa. Jos se ei pala, irrota pistoke, odota "
    "kymmenen sekuntia ja kytke se takaisin. Jos siitä ei ole apua, lähetä meille kuva takapuolesta niin, että "
    "sarjanumeron voi lukea.",
    "Swahili": "Kwanza hakikisha kuwa kifaa kimewashwa na taa ya kijani inawaka. Ikiwa haiwaki, chomoa plagi, subiri "
    "sekunde kumi kisha uichomeke tena. Hilo lisiposaidia, tutumie picha ya upande wa nyuma ambapo nambari ya kifaa "
    "inasomeka.",
}

_CATCHES = [
    {"boat": boat, "crew": 2 + at % 3, "landed": {"species": fish, "kg": 37.25 * at + 12}, "sold": at % 2 == 0}
    for at, (boat, fish) in enumerate([("Petrel", "cod"), ("Aurora", "haddock"), ("Sula", "crab"), ("Fram", "cod")] * 3)
]

DATA = {
    "JSON, indented": json.dumps(_CATCHES, indent=2),
    "JSON, compact": json.dumps(_CATCHES, separators=(",", ":")),
    "numbers": "\n".join(f"{1990 + at},{at * 7919 % 1000 / 10},{at * 104729 % 100000}" for at in range(40)),
    "table": "\n".join(
        ["| boat | kg |", "|------|----|", *(f"| {each['boat']:<6} | {at * 37} |" for at, each in enumerate(_CATCHES))]
    ),
}
