<?php
// What PHP applications do with an upload share. usage: habits.php DIRECTORY [refused]
error_reporting(E_ALL);
set_error_handler(function ($no, $text, $file, $line) { throw new ErrorException($text, 0, $no, $file, $line); });
$d = rtrim($argv[1], '/');
$done = 0;
function ok($true, $what) { global $done; if (!$true) { echo "failed: $what\n"; exit(1); } $done++; }

// move_uploaded_file is a rename, or a copy across devices
$tmp = tempnam(sys_get_temp_dir(), 'up');
file_put_contents($tmp, str_repeat('upload', 1000));
ok(rename($tmp, "$d/upload.bin"), 'rename across devices');
ok(!file_exists($tmp) && filesize("$d/upload.bin") == 6000, 'the upload is there');
ok(chmod("$d/upload.bin", fileperms($d) & 0666), 'chmod as WordPress does');
ok(is_writable("$d/upload.bin") && is_readable("$d/upload.bin"), 'is_writable');

$t = tempnam($d, 'tmp');
ok(strpos($t, $d) === 0 && filesize($t) === 0, 'tempnam in the share');
file_put_contents($t, 'x');
ok(rename($t, "$d/final") && file_get_contents("$d/final") === 'x', 'temp and rename');

foreach (['r+', 'w', 'w+', 'a', 'a+', 'c', 'c+'] as $mode) {
	file_put_contents("$d/mode", 'before');
	$f = fopen("$d/mode", $mode);
	fwrite($f, 'AB');
	fclose($f);
	$want = ['r+' => 'ABfore', 'w' => 'AB', 'w+' => 'AB', 'a' => 'beforeAB', 'a+' => 'beforeAB', 'c' => 'ABfore', 'c+' => 'ABfore'][$mode];
	ok(file_get_contents("$d/mode") === $want, "fopen $mode");
}
file_put_contents("$d/mode", 'before');
$f = fopen("$d/mode", 'a+');
ok(fread($f, 100) === 'before', 'a+ reads from the beginning');
fwrite($f, 'AB');
ok(rewind($f) && fread($f, 100) === 'beforeAB', 'a+ reads what it has appended');
ok(rewind($f) && fwrite($f, 'CD') === 2 && fclose($f), 'a+ writes at the end, wherever it stands');
ok(file_get_contents("$d/mode") === 'beforeABCD', 'what a+ has written');
unlink("$d/mode");
ok(fclose(fopen("$d/new", 'x')), 'fopen x');
$failed = false;
try { fopen("$d/new", 'x'); } catch (ErrorException $e) { $failed = strpos($e->getMessage(), 'File exists') !== false; }
ok($failed, 'fopen x on what exists');

$f = fopen("$d/cut", 'w+');
fwrite($f, '0123456789');
ok(ftruncate($f, 4) && rewind($f) && fread($f, 100) === '0123', 'ftruncate down');
ok(ftruncate($f, 6) && rewind($f) && fread($f, 100) === "0123\0\0", 'ftruncate up');
ok(flock($f, LOCK_EX) && flock($f, LOCK_UN), 'flock');
fclose($f);

ok(touch("$d/cut", 1431080000, 1431080001), 'touch');
clearstatcache();
ok(filemtime("$d/cut") === 1431080000 && fileatime("$d/cut") === 1431080001, 'its times');
ok(touch("$d/touched") && filesize("$d/touched") === 0, 'touch makes a file');
ok(chmod("$d/cut", 0600), 'chmod');
clearstatcache();
ok((fileperms("$d/cut") & 07777) === 0600, 'its mode');

mkdir("$d/many/deep/er", 0775, true);
for ($i = 0; $i < 20; $i++)
	file_put_contents("$d/many/file $i.jpg", str_repeat('j', $i));
ok(count(glob("$d/many/*.jpg")) === 20, 'glob');
$total = 0;
foreach (scandir("$d/many") as $name)
	if (is_file("$d/many/$name"))
		$total += filesize("$d/many/$name");
ok($total === 190, 'scandir with stat of each');
ok(iterator_count(new RecursiveIteratorIterator(new RecursiveDirectoryIterator("$d/many", FilesystemIterator::SKIP_DOTS), RecursiveIteratorIterator::SELF_FIRST)) === 22, 'RecursiveDirectoryIterator');

$s = new SplFileObject("$d/lines", 'w+');
foreach (['a', 'b', 'c'] as $l) $s->fwrite("$l\n");
$s->seek(1);
ok(trim($s->current()) === 'b', 'SplFileObject');
$s = null;

$f = fopen("$d/gone", 'w+');
fwrite($f, 'still here');
unlink("$d/gone");
ok(!file_exists("$d/gone") && rewind($f) && fread($f, 100) === 'still here', 'unlink while open');
fclose($f);

symlink("$d/final", "$d/link");
ok(realpath("$d/link") === realpath("$d/final") && realpath("$d/many/../many/deep/er") === realpath($d) . '/many/deep/er', 'realpath');
ok(copy("$d/upload.bin", "$d/copy.bin") && sha1_file("$d/copy.bin") === sha1_file("$d/upload.bin"), 'copy');
ok(file_put_contents("$d/lock", 'x', LOCK_EX) === 1, 'file_put_contents LOCK_EX');
ok(disk_free_space($d) > 0 && disk_total_space($d) >= disk_free_space($d), 'disk_free_space');
$failed = false;
try { rmdir("$d/many"); } catch (ErrorException $e) { $failed = strpos($e->getMessage(), 'not empty') !== false; }
ok($failed, 'rmdir of what is not empty');
foreach (glob("$d/many/*.jpg") as $p) unlink($p);
ok(rmdir("$d/many/deep/er") && rmdir("$d/many/deep") && rmdir("$d/many"), 'rmdir');

// What somebody else made here, and may write alone: theirs, closed/
if (($argv[2] ?? '') === 'refused') {
	ok(is_readable("$d/theirs") && file_get_contents("$d/theirs") === "theirs\n", 'what others have is read');
	ok(!is_writable("$d/theirs") && !is_writable("$d/closed") && is_writable($d), 'is_writable says no');
	$failed = 0;
	foreach ([fn() => fopen("$d/theirs", 'r+'), fn() => file_put_contents("$d/theirs", 'x'), fn() => chmod("$d/theirs", 0666), fn() => touch("$d/closed/new")] as $try)
		try { $try(); } catch (ErrorException $e) { $failed += preg_match('/Permission denied|not permitted/', $e->getMessage()); }
	ok($failed === 4, 'and so does the attempt');
	ok(file_get_contents("$d/theirs") === "theirs\n" && scandir("$d/closed") === ['.', '..'], 'nothing came of it');
}
echo "$done\n";
