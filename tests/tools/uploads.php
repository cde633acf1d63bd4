<?php
// What the library does to the rows of a space, over and over, with prepared
// statements of the server: uploads.php PORT PASSWORD DATABASE UNTIL. It ends
// when the file UNTIL is there, with "done UPLOADS SLOWEST-IN-MS".
[, $port, $password, $database, $until] = $argv;
$db = new PDO("mysql:host=127.0.0.1;port=$port;dbname=$database", 'fsp',
	$password, [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION,
	PDO::ATTR_EMULATE_PREPARES => false]);
$end = $db->prepare('UPDATE filespace_file SET deleted_at = ? WHERE' .
	' space_key = ? AND file_key = ? AND deleted_at = 0');
$put = $db->prepare('INSERT INTO filespace_file (space_key, file_key,' .
	' data_hash, created_at, size_original, size_storage) VALUES' .
	' (?, ?, ?, ?, ?, ?)');
$get = $db->prepare('SELECT data_hash FROM filespace_file WHERE space_key = ?' .
	' AND file_key = ? AND deleted_at = 0 ORDER BY created_at DESC LIMIT 1');
$slowest = 0;
for ($n = 0; !file_exists($until); $n++) {
	$key = 'k' . $n % 7;
	$since = hrtime(true);
	$end->execute([1431090000, 'w.w.w', $key]);
	if ($end->rowCount() !== ($n < 7 ? 0 : 1))
		exit("upload $n: {$end->rowCount()} rows were live\n");
	$put->execute(['w.w.w', $key, sha1($n), 1431080000 + $n, 5, 5]);
	$slowest = max($slowest, hrtime(true) - $since);
	$get->execute(['w.w.w', $key]);
	if ($get->fetchAll(PDO::FETCH_COLUMN) !== [sha1($n)])
		exit("upload $n cannot be read\n");
}
echo "done $n ", intdiv($slowest, 1000000), "\n";
