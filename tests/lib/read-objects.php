<?php
/*
 * Reads objects as the PHP library does: openssl_decrypt, then bzdecompress.
 *
 *   php read-objects.php OBJECTS KEY IV < "hash size" lines
 *
 * Prints the names of those that are not what their hash says.
 */
ini_set('memory_limit', '-1');
list(, $dir, $key, $iv) = $argv;
$bad = 0;
$count = 0;
while (($line = fgets(STDIN)) !== false) {
    list($hash, $size) = explode(' ', rtrim($line));
    $data = file_get_contents("$dir/$hash");
    $plain = openssl_decrypt(
        $data, 'aes-256-cbc', hex2bin($key), OPENSSL_RAW_DATA, hex2bin($iv));
    $plain = $plain === false ? false : bzdecompress($plain);
    $algorithm = strlen($hash) === 40 ? 'sha1' : 'sha256';
    if (!is_string($plain) || strlen($plain) !== (int)$size
        || hash($algorithm, $plain) !== $hash) {
        echo "$hash\n";
        $bad++;
    }
    $count++;
}
fwrite(STDERR, "$count objects, $bad bad\n");
exit($bad === 0 && $count > 0 ? 0 : 1);
